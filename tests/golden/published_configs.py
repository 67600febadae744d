"""The four published configurations: what is said of them in papers and found in their sections, at full size."""

from copy import deepcopy
from typing import Any

SPADE = {"activation_norm_type": "instance", "num_filters": 0, "kernel_size": 1}
EMBED = {
    "arch": "encoderdecoder",
    "num_filters": 32,
    "num_downsamples": 5,
    "kernel_size": 3,
    "weight_norm_type": "spectral",
}

VID2VID_GEN: dict[str, Any] = {
    "type": "imaginaire.generators.vid2vid",
    "num_layers": 7,
    "num_downsamples_img": 4,
    "num_filters": 32,
    "max_num_filters": 1024,
    "kernel_size": 3,
    "activation_norm_params": SPADE,
    "weight_norm_type": "spectral",
    "use_segmap_as_input": True,
    "flow": {
        "num_filters": 32,
        "max_num_filters": 1024,
        "num_downsamples": 5,
        "num_res_blocks": 6,
        "flow_output_multiplier": 40,
        "multi_spade_combine": {"num_layers": 3, "embed": {**EMBED, "arch": "unet"}},
    },
    "embed": EMBED,
}
FEW_SHOT_GEN: dict[str, Any] = {
    "type": "imaginaire.generators.fs_vid2vid",
    "num_filters": 32,
    "max_num_filters": 1024,
    "num_downsamples": 5,
    "activation_norm_params": SPADE,
    "weight_norm_type": "spectral",
    "hyper": {
        "is_hyper_spade": True,
        "is_hyper_embed": True,
        "is_hyper_conv": False,
        "num_hyper_layers": 4,
        "method_to_use_ref_labels": "mul",
        "attention": {"num_filters": 32, "num_downsamples": 2},
    },
    "flow": {
        "warp_ref": True,
        "num_filters": 32,
        "max_num_filters": 1024,
        "num_downsamples": 3,
        "num_res_blocks": 6,
        "flow_output_multiplier": 20,
        "multi_spade_combine": {"num_layers": 2, "embed": {**EMBED, "arch": "unet", "sep_warp_embed": True}},
    },
    "embed": EMBED,
}
PATCHES = {
    "num_filters": 64,
    "max_num_filters": 512,
    "num_discriminators": 2,
    "num_layers": 3,
    "weight_norm_type": "none",
}
FACE_PATCHES = {**PATCHES, "num_filters": 32, "num_layers": 4, "weight_norm_type": "spectral"}
LOSSES = {"gan": 1.0, "feature_matching": 10.0, "temporal_gan": 0.0, "perceptual": 10.0, "flow": 10.0}
TRAINER: dict[str, Any] = {
    "model_average_config": {"enabled": True, "beta": 0.999, "start_iteration": 500, "remove_sn": True},
    "perceptual_loss": {"mode": "vgg19", "num_scales": 3},
    "loss_weight": LOSSES,
}


def adam(lr: float, beta1: float) -> dict[str, Any]:
    return {"type": "adam", "lr": lr, "adam_beta1": beta1, "adam_beta2": 0.999}


def pictures(*others: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"images": {"ext": "jpg", "num_channels": 3, "normalize": True}}, *others]


POSES = [{"pose_maps-densepose": {"num_channels": 3}}, {"poses-openpose": {"num_channels": 3}}]
POSE_LABELS = ["pose_maps-densepose", "poses-openpose"]

CITYSCAPES: dict[str, Any] = {
    "gen": VID2VID_GEN,
    "dis": {"image": PATCHES},
    "trainer": TRAINER,
    "gen_opt": adam(2e-4, 0.5),
    "dis_opt": adam(2e-4, 0.5),
    "data": {
        "num_frames_G": 3,
        "num_frames_D": 3,
        "input_types": pictures({"seg_maps": {"ext": "png", "num_channels": 1, "is_mask": True}}),
        "one_hot_num_classes": {"seg_maps": 35},
        "use_dont_care": False,
        "input_labels": ["seg_maps"],
        "train": {
            "batch_size": 2,
            "initial_sequence_length": 4,
            "max_sequence_length": 16,
            "augmentations": {
                "resize_smallest_side": 512,
                "random_scale_limit": 0.2,
                "horizontal_flip": True,
                "random_crop_h_w": "512, 1024",
            },
        },
        "val": {"augmentations": {"resize_smallest_side": 512, "center_crop_h_w": "512, 1024"}},
    },
}
DANCING: dict[str, Any] = {
    **deepcopy(CITYSCAPES),
    "gen": {**VID2VID_GEN, "use_segmap_as_input": False, "style_dims": 256},
    "data": {
        "num_frames_G": 3,
        "num_frames_D": 3,
        "input_types": pictures(*POSES),
        "input_labels": POSE_LABELS,
        "train": {"batch_size": 2, "augmentations": {"resize_h_w": "1024, 512", "horizontal_flip": False}},
        "val": {"augmentations": {"resize_h_w": "1024, 512", "horizontal_flip": False}},
    },
}
FACE_FORENSICS: dict[str, Any] = {
    "gen": FEW_SHOT_GEN,
    "dis": {"image": FACE_PATCHES},
    "trainer": TRAINER,
    "gen_opt": adam(1e-4, 0.0),
    "dis_opt": adam(4e-4, 0.0),
    "data": {
        "num_frames_G": 2,
        "num_frames_D": 2,
        "initial_few_shot_K": 1,
        "input_types": pictures({"landmarks-dlib68": {"ext": "json", "num_channels": 1}}),
        "input_labels": ["landmarks-dlib68"],
        "full_data_ops": "imaginaire.model_utils.label::concat_labels, "
        "imaginaire.model_utils.fs_vid2vid::crop_face_from_data",
        "output_h_w": "512, 512",
        "train": {"batch_size": 3, "augmentations": {"resize_smallest_side": 512, "horizontal_flip": False}},
        "val": {"augmentations": {"resize_smallest_side": 512, "horizontal_flip": False}},
    },
}
YOUTUBE_DANCING: dict[str, Any] = {
    **deepcopy(FACE_FORENSICS),
    "data": {
        "num_frames_G": 2,
        "num_frames_D": 2,
        "initial_few_shot_K": 1,
        "input_types": pictures(*POSES),
        "input_labels": POSE_LABELS,
        "output_h_w": "512, 256",
        "train": {"batch_size": 3, "augmentations": {"resize_smallest_side": 512, "horizontal_flip": False}},
        "val": {"augmentations": {"resize_smallest_side": 512, "horizontal_flip": False}},
    },
}
