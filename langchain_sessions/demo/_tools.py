"""Two tools that really compute, for the demonstration's agent.

Each refuses what it cannot do with a sentence that the model may pass on, instead of failing the run.
"""

from __future__ import annotations

import ast
import math
from datetime import date
from typing import TYPE_CHECKING, Final, TypeAlias

from langchain_core.tools import BaseTool, StructuredTool, ToolException

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Number: TypeAlias = "int | float"
"""What an expression is made of, and what it evaluates to."""

MAX_CHARACTERS: Final = 200
"""The longest expression. Keeps its nesting far below Python's recursion limit."""

MAX_BITS: Final = 4096
"""The largest integer, about 1,200 digits: `9 ** 9 ** 9` must not occupy the machine."""

_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[Number, Number], Number | complex]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: lambda left, right: left**right,
}


def calculate(expression: str) -> str:
    """Evaluate an arithmetic expression.

    Numbers, parentheses and + - * / % ** are understood, with Python's precedence.

    Args:
        expression: For example "(12 + 3) * 4".

    Returns:
        The result: integers in full, other numbers with up to 12 significant digits.

    Raises:
        ToolException: If the expression is something else, too long or too large, or has no result.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ToolException(f"the expression is longer than {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError):  # before Python 3.11.4 a null character is a ValueError
        raise ToolException(f"{expression!r} is not an arithmetic expression") from None
    try:
        value = _value(tree.body)
    except ZeroDivisionError:
        raise ToolException(f"{expression} divides by zero") from None
    except (OverflowError, ValueError):
        raise ToolException(f"{expression} is too large") from None
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def days_between(start: str, end: str) -> str:
    """Count the days from one date to another.

    Args:
        start: A date as YYYY-MM-DD.
        end: Another one, earlier or later.

    Returns:
        The number of days, and the same in weeks and days when there are weeks in it.

    Raises:
        ToolException: If one of them is not a date of the calendar.
    """
    days = abs((_date(end) - _date(start)).days)
    weeks, rest = divmod(days, 7)
    if not weeks:
        return _counted(days, "day")
    detail = _counted(weeks, "week") + (f" and {_counted(rest, 'day')}" if rest else "")
    return f"{_counted(days, 'day')} ({detail})"


def demo_tools() -> list[BaseTool]:
    """The tools as LangChain tools; what they refuse comes back to the model as a message."""
    return [
        StructuredTool.from_function(
            calculate, name="calculator", handle_tool_error=True, parse_docstring=True
        ),
        StructuredTool.from_function(
            days_between, name="days_between", handle_tool_error=True, parse_docstring=True
        ),
    ]


def _value(node: ast.expr) -> Number:
    """Evaluate a node of the syntax tree, and nothing but arithmetic."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATIONS:
            return _apply(type(sign), _value(left), _value(right))
        case _:
            raise ToolException(f"{ast.unparse(node)!r} is not made of numbers and + - * / % ** ( )")


def _apply(sign: type[ast.operator], left: Number, right: Number) -> Number:
    """Apply an operator, but measure a power before it is computed."""
    if sign is ast.Pow and isinstance(left, int) and left.bit_length() * right > MAX_BITS:
        raise OverflowError
    return _bounded(_OPERATIONS[sign](left, right))


def _bounded(value: Number | complex) -> Number:
    """Let a real, finite number of a sensible size pass.

    Raises:
        ToolException: If the number is not real, such as (-1) ** 0.5.
        OverflowError: If it is too large.
    """
    if isinstance(value, complex):
        raise ToolException("the result is not a real number")
    if not math.isfinite(value) if isinstance(value, float) else value.bit_length() > MAX_BITS:
        raise OverflowError
    return value


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ToolException(f"{text!r} is not a date like 2026-12-24") from None


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
