"""Answers are kept for the same objects and questions, and only inside."""

import pytest

from onnx_si.ground.once import asked, asking


class Thing:
    """Compares equal to every other."""

    def __eq__(self, other):
        return True

    __hash__ = None


def numbered():
    made = []

    def answer():
        made.append(None)
        return len(made)

    return answer


def test_outside_every_question_is_answered_again():
    answer, thing = numbered(), Thing()
    assert [asked((thing,), "a", answer) for _ in range(2)] == [1, 2]


def test_inside_one_answer_for_an_object_and_a_question():
    answer, thing, other = numbered(), Thing(), Thing()
    with asking():
        found = [
            asked((one,), q, answer) for one, q in ((thing, "a"), (thing, "a"), (thing, "b"), (other, "a"))
        ]
        with asking():
            found.append(asked((thing,), "a", answer))
        found.append(asked((thing,), "b", answer))
    assert found == [1, 1, 2, 3, 1, 2]
    assert asked((thing,), "a", answer) == 4


def test_objects_are_held_while_their_answers_are():
    """Otherwise a new object could have the place of an old one, and its answer."""
    with asking():
        found = [asked((Thing(),), "a", lambda i=i: i) for i in range(100)]
    assert found == list(range(100))


def test_what_is_too_large_is_not_kept():
    answer, thing = numbered(), Thing()
    with asking():
        assert [asked((thing,), "a", answer, keep=lambda n: n > 1) for _ in range(3)] == [1, 2, 2]


def test_a_failure_is_raised_and_not_kept():
    thing = Thing()
    with asking():
        with pytest.raises(ZeroDivisionError):
            asked((thing,), "a", lambda: 1 // 0)
        assert asked((thing,), "a", lambda: 5) == 5
