"""A few statements over a connection of their own."""

import asyncpg


async def run_sql(url: str, *statements: str) -> object:
    """Run statements on one connection; the first value of the last one."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()
