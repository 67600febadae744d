"""One training step as functions, and what a run consists of.

The face of this package is its modules: `presets`, `kinds` and `errors` are light, so that a command line can show its
help without PyTorch; a face that holds the rest as well would cost that. From the outside in:

- `step`: `train_clip`, one training step on a batch of clips;
- `update`: `update_frame`, one update: where D steps, where G steps, where the EMA moves;
- `graphs`: the same by CUDA graphs, recorded once for each shape of a frame's inputs;
- `retry`: what becomes of an update that overflows; `divergence`: what is said of one that nothing cures;
- `passes`, `batches`: each network's losses and gradients; a batch in parts;
- `inputs`: a clip's frames as the networks take them; `tensors`: nested data that holds tensors;
- `state`, `report`: what a step works on and what it tells; `saved`: a state in a checkpoint;
- `networks`: networks, optimizers and recipe from a configuration;
- `past`: what a generator is shown of its own frames, as they are or made worse;
- `init`, `first_layers`, `adapting`: networks that begin with a trained model, whole or for one subject;
- `checks`, `memory`, `validation`: data and memory looked at before a run, and the clip that it is looked at by;
- `quality`: clips rolled out from their own frames and scored (`scoring`, `few_shot`), summed up (`summary`), and what
  the numbers mean (`measures`);
- `config`, `curriculum`, `presets`, `fixed`: a run's configuration, and what of it may change later;
- `pictures`: what is drawn of a generated frame; `kinds`: which kind of generator settings ask for.
"""

__version__ = "0.1.0"
