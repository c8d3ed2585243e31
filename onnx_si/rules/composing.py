"""Ops made of several rules, put together."""

from onnx_si.rules.rules import Composition, Rule, Stage


def compose(inputs: int, *parts: tuple[Rule | Composition, tuple[int, ...]]) -> Composition:
    """Rules and compositions in a row: each with the numbers of what it reads, as a stage's inputs."""
    slots, stages = list(range(inputs)), list[Stage]()
    for part, reads in parts:
        own = [slots[i] for i in reads]
        alone = (Stage(part, tuple(range(len(reads)))),) if not isinstance(part, Composition) else part.stages
        for stage in alone:
            own.append(inputs + len(stages))
            stages.append(Stage(stage.rule, tuple(own[i] for i in stage.inputs)))
        slots.append(own[-1])
    return Composition(tuple(stages))


def chain(*parts: Rule | Composition) -> Composition:
    """Parts of one input each, every one applied to what the one before gives."""
    return compose(1, *((part, (i,)) for i, part in enumerate(parts)))
