"""A function that was changed while its run waited: what does not matter, and what is said and offered when it does."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest

from orchestrator.functional import FileCheckpointStorage, ReplayDiverged

BEFORE = """
@step
async def fetch(url): CALLS.append(f"fetch {url}"); return url
@step
async def clean(text): CALLS.append(f"clean {text}"); return text
@workflow(checkpoint_storage=STORAGE)
async def flow(x, ctx):
    text = await fetch("u")
    text = await clean(text)
    answer = await ctx.request_info({"text": text}, str, request_id="q")
    return f"{text} {answer}"
"""


def build(source: str, storage: Any, calls: list[str]) -> Any:
    names: dict[str, Any] = {"STORAGE": storage, "CALLS": calls}
    exec(
        "from orchestrator.functional import workflow, step, RunContext\nimport asyncio\n" + textwrap.dedent(source),
        names,
    )
    return names["flow"]


@pytest.fixture(params=["memory", "file"])
def story(request: Any, tmp_path: Path) -> Any:
    """Runs BEFORE to its question, then goes on with another source; gives the result, and the calls since the change."""

    def tell(after: str, **options: Any) -> tuple[Any, list[str]]:
        calls: list[str] = []

        async def main() -> Any:
            if request.param == "file":
                await build(BEFORE, FileCheckpointStorage(tmp_path), calls).run(None)
                changed = build(after, FileCheckpointStorage(tmp_path), calls)
            else:
                first = build(BEFORE, None, calls)
                await first.run(None)
                changed = build(after, None, calls)
                for run_id, session in first.sessions.items():
                    session.workflow = session.actor.plan.steps["flow"].body.workflow = changed
                    changed.sessions[run_id] = session
            calls.clear()
            return await changed.run(responses={"q": "yes"}, **options)

        return asyncio.run(main()), calls

    return tell


def test_comments_formatting_docstrings_and_bodies_of_steps_never_matter(story: Any) -> None:
    after = BEFORE.replace("@step", "# a comment\n\n\n@step")
    after = after.replace('    text = await fetch("u")', '    "doc"\n    text = (await fetch(\n  "u"))')
    result, calls = story(after.replace("return text\n", "return text + '!'\n"))
    assert (result.text, calls) == ("u yes", [])


def test_a_step_added_after_what_is_recorded_just_runs(story: Any) -> None:
    result, calls = story(BEFORE.replace("    return f", "    await clean(answer)\n    return f"))
    assert (result.text, calls) == ("u yes", ["clean yes"])


RENAMED = BEFORE.replace("fetch", "load")
INSERTED = BEFORE.replace("    text = await clean", '    await clean("first")\n    text = await clean')
REMOVED = BEFORE.replace('    text = await fetch("u")\n', '    text = "u"\n')
OTHER_QUESTION = BEFORE.replace('{"text": text}', '{"body": text}')
CHANGES = [
    (RENAMED, "fetch", "fetch(url='u')", "load(url='u')"),
    (INSERTED, "clean", "clean(text='u')", "clean(text='first')"),
    (REMOVED, "fetch", "fetch(url='u')", "clean(text='u')"),
]


@pytest.mark.parametrize(("after", "name", "recorded", "new"), CHANGES, ids=["renamed", "inserted", "removed"])
def test_a_real_divergence_is_reported_and_nothing_has_run(
    story: Any, after: str, name: str, recorded: str, new: str
) -> None:
    if after is REMOVED:  # the recorded call of clean is found by its own path; what is gone is simply not used
        result, calls = story(after)
        assert (result.text, calls) == ("u yes", [])
        return
    with pytest.raises(ReplayDiverged) as caught:
        story(after)
    assert (caught.value.step, caught.value.recorded, caught.value.new) == (name, recorded, new)


def test_a_question_that_changed_after_its_answer_is_a_divergence(tmp_path: Path) -> None:
    source = BEFORE.replace("    return f", '    await ctx.request_info("more", str, request_id="r")\n    return f')

    async def main() -> None:
        await build(source, FileCheckpointStorage(tmp_path), []).run(None)
        await build(source, FileCheckpointStorage(tmp_path), []).run(responses={"q": "a"})
        changed = source.replace('{"text": text}', '{"body": text}')
        await build(changed, FileCheckpointStorage(tmp_path), []).run(responses={"r": "b"})

    with pytest.raises(ReplayDiverged, match="a question at `!ask#0`") as caught:
        asyncio.run(main())
    assert caught.value.recorded == "request_info(request_data={'text': 'u'}, request_id='q')"


def test_continue_makes_the_new_call_and_uses_what_still_fits(story: Any) -> None:
    result, calls = story(RENAMED, on_divergence="continue")
    assert (result.text, calls) == ("u yes", ["load u"])
    assert [e.data["new"] for e in result if e.type == "replay_diverged"] == ["load(url='u')"]


def test_fork_keeps_what_was_recorded_before_the_call_in_a_new_run(story: Any) -> None:
    changed = BEFORE.replace("await clean(text)", "await clean(text + '!')")
    result, calls = story(changed, on_divergence="fork")
    assert calls == ["clean u!"]
    assert [e.data for e in result.get_request_info_events()] == [{"text": "u!"}]


@pytest.mark.parametrize("is_answered_again", [False, True])
def test_an_abort_leaves_the_run_as_it_was_for_the_old_code(tmp_path: Path, is_answered_again: bool) -> None:
    calls: list[str] = []

    async def main() -> Any:
        first = await build(BEFORE, FileCheckpointStorage(tmp_path), calls).run(None)
        with pytest.raises(ReplayDiverged):
            await build(RENAMED, FileCheckpointStorage(tmp_path), calls).run(responses={"q": "yes"})
        answers = {"q": "yes"} if is_answered_again else None
        flow = build(BEFORE, FileCheckpointStorage(tmp_path), calls)
        return await flow.run(responses=answers, run_id=first.run_id)

    assert asyncio.run(main()).text == "u yes"
    assert calls == ["fetch u", "clean u"]


def test_a_divergence_cannot_be_swallowed(story: Any) -> None:
    guarded = '    try:\n        text = await fetch("v")\n    except BaseException:\n        text = "w"'
    body = BEFORE.replace('    text = await fetch("u")', guarded)
    with pytest.raises(ReplayDiverged):
        story(body)


def test_a_stream_goes_on_with_the_fork(tmp_path: Path) -> None:
    changed = BEFORE.replace("await clean(text)", "await clean(text + '!')")

    async def main() -> Any:
        await build(BEFORE, FileCheckpointStorage(tmp_path), []).run(None)
        flow = build(changed, FileCheckpointStorage(tmp_path), [])
        stream = flow.run(responses={"q": "yes"}, stream=True, on_divergence="fork")
        return [e async for e in stream], await stream.get_final_response()

    events, result = asyncio.run(main())
    assert events[-1].run_id == result.run_id != events[0].run_id
    assert [e.type for e in result][-1] == "request_info"
