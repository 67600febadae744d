"""Generators, discriminators and losses of vid2vid and few-shot vid2vid."""

from vs_nets.build import AnyGenerator, AnyGeneratorConfig, build_ema, build_generator, condition_channels
from vs_nets.discriminate import RealInputs, discriminate_frame, discriminator_condition, real_inputs
from vs_nets.discriminator import (
    Condition,
    Discriminate,
    Discriminator,
    DiscriminatorOutput,
    MultiScaleDiscriminator,
    Pyramid,
    RealFakeOutputs,
    build_discriminator,
    condition_pyramid,
    discriminate_both,
    discriminate_fake,
    pyramid,
    temporal_memory,
    temporal_window,
)
from vs_nets.discriminator_config import (
    DiscriminatorConfig,
    PatchConfig,
    RegionConfig,
    TemporalConfig,
    smallest_side,
)
from vs_nets.embedder import EmbedderConfig
from vs_nets.errors import ShapeError, VsNetsError, WeightsError
from vs_nets.few_shot import (
    AttendedSubject,
    FewShotGenerator,
    FewShotGeneratorConfig,
    SeparateSubject,
    Subject,
)
from vs_nets.flow import FlowConfig, GivenFlow
from vs_nets.generator import (
    ConstantStart,
    Generator,
    GeneratorConfig,
    LabelStart,
    LinearCombination,
    SpadeCombination,
)
from vs_nets.label_map import Label, LabelMap, dense_label, keep_class_ids
from vs_nets.labels import ClassMap, FloatMap, LabelKind, LabelSpec, class_ids, class_kind, encode_labels, float_kinds
from vs_nets.layers import ActivationCheckpointing
from vs_nets.objective import (
    FrameOutputs,
    Loss,
    Losses,
    ObjectiveConfig,
    Target,
    discriminator_losses,
    flow_losses,
    generator_losses,
    total,
    warp_losses,
)
from vs_nets.perceptual import (
    FilePerceptual,
    NoPerceptual,
    Perceptual,
    PerceptualConfig,
    RandomPerceptual,
    Vgg19,
    build_perceptual,
    load_vgg19,
)
from vs_nets.prepared import prepare_for_inference
from vs_nets.references import (
    References,
)
from vs_nets.regions import crop_boxes
from vs_nets.spectral import effective_weights, weight_scales
from vs_nets.synthesis import GenerateFrame, History, Motion, Synthesis, Warp, remember, rollout
from vs_nets.weight_generator import AttentionConfig, WeightGeneratorConfig

__version__ = "0.1.0"

__all__ = [
    "ActivationCheckpointing",
    "AnyGenerator",
    "AnyGeneratorConfig",
    "AttendedSubject",
    "AttentionConfig",
    "ClassMap",
    "Condition",
    "ConstantStart",
    "Discriminate",
    "Discriminator",
    "DiscriminatorConfig",
    "DiscriminatorOutput",
    "EmbedderConfig",
    "FewShotGenerator",
    "FewShotGeneratorConfig",
    "FilePerceptual",
    "FloatMap",
    "FlowConfig",
    "FrameOutputs",
    "GenerateFrame",
    "Generator",
    "GeneratorConfig",
    "GivenFlow",
    "History",
    "Label",
    "LabelKind",
    "LabelMap",
    "LabelSpec",
    "LabelStart",
    "LinearCombination",
    "Loss",
    "Losses",
    "Motion",
    "MultiScaleDiscriminator",
    "NoPerceptual",
    "ObjectiveConfig",
    "PatchConfig",
    "Perceptual",
    "PerceptualConfig",
    "Pyramid",
    "RandomPerceptual",
    "RealFakeOutputs",
    "RealInputs",
    "References",
    "RegionConfig",
    "SeparateSubject",
    "ShapeError",
    "SpadeCombination",
    "Subject",
    "Synthesis",
    "Target",
    "TemporalConfig",
    "Vgg19",
    "VsNetsError",
    "Warp",
    "WeightGeneratorConfig",
    "WeightsError",
    "build_discriminator",
    "build_ema",
    "build_generator",
    "build_perceptual",
    "class_ids",
    "class_kind",
    "condition_channels",
    "condition_pyramid",
    "crop_boxes",
    "dense_label",
    "discriminate_both",
    "discriminate_fake",
    "discriminate_frame",
    "discriminator_condition",
    "discriminator_losses",
    "effective_weights",
    "encode_labels",
    "float_kinds",
    "flow_losses",
    "generator_losses",
    "keep_class_ids",
    "load_vgg19",
    "prepare_for_inference",
    "pyramid",
    "real_inputs",
    "remember",
    "rollout",
    "smallest_side",
    "temporal_memory",
    "temporal_window",
    "total",
    "warp_losses",
    "weight_scales",
]
