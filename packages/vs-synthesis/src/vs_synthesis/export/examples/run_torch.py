"""Make a clip with this model: python run_torch.py INPUTS.npz FRAMES.npy.

INPUTS.npz has, by names of inputs, what the manifest lists under `labels`: ids (T, 1, H, W) or maps (T, 1, C, H, W);
for a few-shot model the inputs of the program `subject`; and for one that is given motion (`motion` in the manifest)
`flow` (T, 1, 2, H, W) and `confidence` (T, 1, 1, H, W), anything at the first frame.
FRAMES.npy: (T, H, W, 3) bytes, RGB.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent.parent
MANIFEST = json.loads((HERE / "manifest.json").read_text("utf-8"))
given = {name: torch.from_numpy(x) for name, x in np.load(sys.argv[1]).items()}
height, width = given["label_0"].shape[-2:]
programs = {p["phase"]: p for p in MANIFEST["programs"] if p["size"] in (None, [height, width])}
load = torch._inductor.aoti_load_package if MANIFEST["format"] == "aoti" else lambda f: torch.export.load(f).module()
runs = {name: load(str(HERE / program["file"])) for name, program in programs.items()}


def call(phase: str, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Run a program on the values that it names."""
    made = runs[phase](*(values[each["name"]] for each in programs[phase]["inputs"]))
    return dict(zip((each["name"] for each in programs[phase]["outputs"]), made, strict=True))


frames = []
with torch.inference_mode():
    values = call("subject", given) if "subject" in programs else {}
    for t in range(len(given["label_0"])):
        values |= {name: x[t] for name, x in given.items() if not name.startswith("reference_")}
        made = call(MANIFEST["frames"][min(t, len(MANIFEST["frames"]) - 1)], values)
        values |= {name.removeprefix("next_"): x for name, x in made.items() if name.startswith("next_")}
        frames.append(((made["frame"][0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy())
np.save(sys.argv[2], np.stack(frames))
