"""Which clip a run is looked at by."""

import pytest
from vs_data import FacesConfig, SequenceInfo, open_source
from vs_training.validation import longest_sequences, read_validation_clip


def test_the_first_of_the_longest_sequences_is_taken() -> None:
    sequences = [SequenceInfo(name=f"{n}", frames=n) for n in (2, 5, 3, 5)]
    assert longest_sequences(sequences)[0] == 1


@pytest.mark.parametrize(("frames", "references"), [(4, 0), (4, 2), (9, 1)])
def test_it_is_the_beginning_with_references_from_the_far_end_on(frames: int, references: int) -> None:
    source = open_source(FacesConfig(height=32, width=32, sequence_length=6, val_identities=1), "val")
    clip = read_validation_clip(source, frames=frames, references=references)
    assert clip.frames.shape[0] == min(frames, 6)
    if references == 0:
        assert clip.references is None
        return
    assert clip.references is not None
    whole = read_validation_clip(source, frames=6, references=0)
    assert clip.references.frames.equal(whole.frames[[5, 2][:references]])
