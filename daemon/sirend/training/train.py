"""``sirend train``: a recipe and a folder of recordings become a model bundle."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sirend.detect import bundle as bundles
from sirend.errors import InputError, UsageError
from sirend.evidence.street_set import TABLE
from sirend.training import corpus, recipe

if TYPE_CHECKING:
    import argparse

    from sirend.training.recipe import Recipe

SMOKE_EPISODES = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``sirend train``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="bundle to write, e.g. siren-9.0.0")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="recipe (default: that of the model that ships, for its head alone)"
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="DIR",
        help="folder with the published weights that --recipe names (default: none)",
    )
    parser.add_argument(
        "--without", metavar="SET", default="", help="leave this data set out, to test on it (default: none)"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="where unfinished work is kept (default: OUT.work)")
    parser.add_argument("--smoke", action="store_true", help="a few episodes only: proves that everything runs")


def main(args: argparse.Namespace) -> int:
    """Train; return the exit code. A stopped run goes on where it was when started again with the same words."""
    plan = recipe.load_recipe(args.recipe) if args.recipe else own_recipe(args.out)
    if plan.teacher is not None and args.teacher is None:
        raise UsageError(
            f"the recipe makes a backbone of published weights: give --teacher DIR ({plan.teacher.published}); "
            "without --recipe only the head of the model that ships is trained"
        )
    if plan.teacher is None and args.teacher is not None:
        raise UsageError("--teacher: no recipe names these weights; give --recipe FILE too")
    if args.smoke:
        plan = replace(
            plan,
            episodes=replace(plan.episodes, count=SMOKE_EPISODES),
            temporal=replace(plan.temporal, epochs=1),
            wake=plan.wake and replace(plan.wake, epochs=1),
        )
    clips = list(filter(plan.allows, corpus.read_clips(args.data / TABLE)))
    if not clips:
        raise InputError(f"{args.data / TABLE}: no clip has a licence that the recipe allows")
    recordings = corpus.load_clips(clips, args.data)
    sets = sorted({clip.set for clip in recordings.clips})
    if args.without and args.without not in sets:
        raise UsageError(f"--without {args.without}: the recordings have the sets {', '.join(sets)}")
    from sirend.training import published, shipped, streaming  # noqa: PLC0415  TensorFlow takes seconds to import

    work = args.work or args.out.with_name(args.out.name + ".work")
    if plan.teacher is not None:
        backbone: streaming.Backbone = published.published_backbone(plan, plan.teacher, recordings, args.teacher, work)
    else:
        backbone = shipped.shipped_backbone(plan, bundles.load(bundles.find(None)))
    streaming.train_streaming(plan, recordings, args.out, work, backbone, args.without)
    print(f"wrote {args.out}")  # noqa: T201  the command's result
    return 0


def own_recipe(out: Path) -> Recipe:
    """Return the recipe of the model that ships, for its head alone and from all recordings that there are.

    Raises ``UsageError`` when ``out`` cannot be the name of the bundle.
    """
    if not re.fullmatch(recipe.NAME, out.name):
        raise UsageError(f"--out {out}: a bundle is named like its folder, siren-<a>.<b>.<c>, such as siren-9.0.0")
    ours = recipe.load_recipe(bundles.find(None).parent / recipe.FILE)
    return replace(ours, name=out.name, licences=None, teacher=None)
