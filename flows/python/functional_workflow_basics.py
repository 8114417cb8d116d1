"""The smallest workflow: two calls one after the other, no step, no context."""

import asyncio

from orchestrator.functional import workflow


async def to_upper_case(text: str) -> str:
    """Shout."""
    return text.upper()


async def reverse_text(text: str) -> str:
    """Turn round."""
    return text[::-1]


@workflow
async def text_pipeline(text: str) -> str:
    """Upper case, then reversed."""
    upper = await to_upper_case(text)
    return await reverse_text(upper)


async def main() -> None:
    """Run it and look at what came out."""
    result = await text_pipeline.run("hello world")
    print("outputs:", result.get_outputs())
    print("state:", result.get_final_state())


if __name__ == "__main__":
    asyncio.run(main())
