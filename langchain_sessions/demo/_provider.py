"""A real chat model instead of the offline one, with errors that say what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from langchain.chat_models import init_chat_model

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from langchain_core.language_models import BaseChatModel

_KEYS: Final[Mapping[str, str]] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
    "cohere": "COHERE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "google_genai": "GOOGLE_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistralai": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "perplexity": "PPLX_API_KEY",
    "together": "TOGETHER_API_KEY",
    "xai": "XAI_API_KEY",
}
"""The environment variables in which providers' packages look for the key. Only used to explain a failure:
some of them accept other credentials, too."""


class DemoError(Exception):
    """The demonstration cannot run; the message says why and what to do."""


def chosen_model(name: str) -> BaseChatModel:
    """Create a provider's chat model. Nothing is sent yet.

    Args:
        name: PROVIDER:NAME, for example "openai:gpt-4o-mini".

    Returns:
        The model.

    Raises:
        DemoError: If the provider is unknown, its package is not installed, or its key is not set.
    """
    provider, _, model = name.partition(":")
    try:
        return init_chat_model(model, model_provider=provider)
    except ImportError as error:
        raise DemoError(f"cannot use {name}. {error}") from error
    except Exception as error:
        raise _explained(f"cannot use {name}", name, error) from error


@contextmanager
def explained_failures(name: str) -> Generator[None]:
    """Turn whatever goes wrong inside into one readable error.

    Args:
        name: PROVIDER:NAME of the model that is being called.

    Raises:
        DemoError: In the place of any other exception.
    """
    try:
        yield
    except Exception as error:
        raise _explained(f"{name} did not answer", name, error) from error


def _explained(trouble: str, name: str, error: Exception) -> DemoError:
    """Say in one paragraph what failed, and which variable to set if that is the likely reason."""
    variable = _KEYS.get(name.partition(":")[0])
    if variable and not os.environ.get(variable):
        return DemoError(f"{trouble}: set the environment variable {variable} to your key")
    detail = " ".join(str(error).split()) or "no details given"
    return DemoError(f"{trouble}: {type(error).__name__}: {detail}")
