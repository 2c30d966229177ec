"""Decides what a group of commands says to a name that it does not have."""

from __future__ import annotations

from difflib import get_close_matches

import click

__all__ = ["SuggestingGroup"]


class SuggestingGroup(click.Group):
    """Answers an unknown name with the nearest one, or with all there are."""

    noun = "command"

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"no {self.noun} {name!r}; {self._mend(ctx, name)}", ctx)
        return super().resolve_command(ctx, args)

    def _mend(self, ctx: click.Context, name: str) -> str:
        known = self.list_commands(ctx)
        close = get_close_matches(name, known, n=1)
        return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none installed'}"
