"""Plain functions and plain Python control flow: read an order, check it, branch."""

import asyncio
from typing import Any

from orchestrator.functional import workflow


async def read_order(number: int) -> dict[str, Any]:
    """An order from a (here: made up) database."""
    return {"number": number, "items": ["cup", "plate"] if number % 2 else []}


async def is_valid(order: dict[str, Any]) -> bool:
    """Whether there is anything to send."""
    return bool(order["items"])


async def pack(order: dict[str, Any]) -> str:
    """What goes into the parcel."""
    return f"order {order['number']}: {' and '.join(order['items'])}"


@workflow
async def order_pipeline(number: int) -> str:
    """Pack an order, unless it is empty."""
    order = await read_order(number)
    if not await is_valid(order):
        return f"order {number} is empty"
    return await pack(order)


async def main() -> None:
    """Both branches."""
    for number in (7, 8):
        result = await order_pipeline.run(number)
        print(result.get_outputs(), result.get_final_state())


if __name__ == "__main__":
    asyncio.run(main())
