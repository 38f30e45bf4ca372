"""`foldover data`: corpora, tokenizers, and what was made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from foldover.cli.options import json_option, print_json

if TYPE_CHECKING:
    from foldover.core import Values
    from foldover.data import Accounting, Comparison, PreparedFolder, Side, Survey

quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
corpus_argument = click.argument("corpus", metavar="CORPUS")


@click.group()
def data() -> None:
    """Prepare, list, inspect and compare corpora and tokenizers.

    A corpus is `sotu` (embedded), `path:/some/where` (text files, JSON lines, Parquet shards, token shards) or
    `hub:OWNER/NAME:SHARDS`.
    """


@data.command()
@click.argument("corpus", metavar="[CORPUS]", default="sotu")
@click.option(
    "--tokenizer",
    default="bpe",
    show_default=True,
    help="bpe or sentencepiece (trained here), bytes, path:FILE or tiktoken:NAME.",
)
@click.option("--vocab-size", type=int, default=None, help="Ids [default: the tokenizer's, or 1024 if trained here].")
@click.option("--fold-case", is_flag=True, help="The tokenizer reads text without capitals, with markers for them.")
@click.option(
    "--accounting",
    type=click.Choice(["raw", "pieces"]),
    default="raw",
    show_default=True,
    help="Which bytes the metric divides by: those of the text, or those of the tokenizer's pieces.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    help="Processes that encode a large corpus [default: as many as usable cores].",
)
@quiet_option
@json_option
def prepare(
    corpus: str,
    tokenizer: str,
    vocab_size: int | None,
    fold_case: bool,
    accounting: str,
    workers: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make CORPUS [default: sotu] into tokens in the cache folder; the same command again continues or does nothing."""
    from foldover.cli.watch import ProgressView
    from foldover.execution import usable_cores
    from foldover.lab.data import prepare_data

    with ProgressView(quiet=quiet) as view:
        made = prepare_data(
            corpus,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            fold_case=fold_case,
            accounting=cast("Accounting", accounting),
            workers=workers or len(usable_cores()),
            progress=view.prepare,
        )
    if as_json:
        facts = made.facts
        print_json(
            {
                "folder": str(made.folder),
                "accounting": accounting,
                "meta": facts.meta,
                "digests": facts.digests,
                "references": facts.references,
            }
        )
        return
    click.echo(f"folder: {made.folder}")
    _echo_facts(made.meta, made.references)
    click.echo(f"digest of the corpus: {made.digests.text('corpus')}")


@data.command(name="list")
@click.option("--verify", is_flag=True, help="Read every byte of every folder, whatever its size.")
@json_option
def list_command(verify: bool, as_json: bool) -> None:
    """List what lies in the cache folder: prepared corpora, damaged and unfinished ones. Exit 1 if one is damaged."""
    from foldover.lab.data import list_data

    found = list_data(is_thorough=verify)
    if as_json:
        print_json({"prepared": list(found)})
    elif not found:
        click.echo("nothing is prepared")
    else:
        for folder in found:
            _echo_folder(folder)
    if any(folder.condition == "damaged" for folder in found):
        raise click.exceptions.Exit(1)


@data.command()
@corpus_argument
@click.option("--documents", type=click.IntRange(min=1), default=None, help="Read only so many a side.")
@quiet_option
@json_option
def inspect(corpus: str, documents: int | None, quiet: bool, as_json: bool) -> None:
    """Read CORPUS and say what it holds: documents, bytes, repetitions, and its name with the digest to pin it."""
    from foldover.cli.watch import ProgressView
    from foldover.lab.data import inspect_data

    with ProgressView(quiet=quiet) as view:
        found = inspect_data(corpus, limit=documents, progress=view.prepare)
    if as_json:
        print_json(found)
    else:
        _echo_survey(found)


@data.command()
@corpus_argument
@click.argument("tokenizers", metavar="TOKENIZER...", nargs=-1, required=True)
@click.option("--side", type=click.Choice(["val", "train"]), default="val", show_default=True, help="Which documents.")
@click.option("--documents", type=click.IntRange(min=1), default=None, help="Only the first so many.")
@quiet_option
@json_option
def compare(
    corpus: str, tokenizers: tuple[str, ...], side: str, documents: int | None, quiet: bool, as_json: bool
) -> None:
    """Encode the same documents of CORPUS with several tokenizers: bpe:SIZE, sentencepiece:SIZE, bytes, path:FILE.

    `fold:` before a name: the same, of text without capitals.
    """
    from foldover.cli.watch import ProgressView
    from foldover.lab.data import compare_data

    with ProgressView(quiet=quiet) as view:
        found = compare_data(corpus, tokenizers, side=cast("Side", side), limit=documents, progress=view.prepare)
    if as_json:
        print_json(found)
    else:
        _echo_comparison(found)


def _echo_facts(meta: Values, references: Values) -> None:
    for side, name in (("train", "training"), ("val", "validation")):
        size = f", {meta.integer(f'{side}_bytes'):,} bytes" if f"{side}_bytes" in meta else ""
        click.echo(
            f"{name}: {meta.integer(f'{side}_documents'):,} documents{size}, {meta.integer(f'{side}_tokens'):,} tokens"
        )
    if "val_piece_bytes" in meta and "val_bytes" in meta:
        counted, text = meta.integer("val_piece_bytes"), meta.integer("val_bytes")
        if counted != text:
            click.echo(
                f"the tokenizer changes text: its pieces count {counted:,} of {text:,} validation bytes "
                f"(ratio {counted / text:.5f}), with {meta.integer('val_unknown'):,} unknown tokens"
            )
    if meta.get("repeated_documents"):
        click.echo(f"warning: {meta['repeated_documents']} validation documents are in training word for word")
    if meta.get("skipped_documents"):
        click.echo(f"{meta['skipped_documents']} documents without tokens were left out")
    if references:
        lines = ", ".join(f"order {name.removeprefix('order_')} {bits:.4f}" for name, bits in references.items())
        click.echo(f"byte models on the validation side, bits per byte: {lines}")


def _echo_folder(folder: PreparedFolder) -> None:
    size = f"{folder.disk_bytes / 1e6:,.1f} MB"
    click.echo(f"{folder.folder}\n    {folder.condition}, {size}")
    if folder.damaged:
        click.echo(f"    damaged files: {', '.join(folder.damaged)}")
    if folder.meta:
        meta = folder.meta
        tokenizer = f"{meta.get('tokenizer', 'bpe')} of {meta['vocab_size']} ids"
        click.echo(
            f"    {meta.get('location', meta['corpus'])}, {tokenizer}, "
            f"{meta.integer('train_tokens'):,} + {meta.integer('val_tokens'):,} tokens"
        )


def _echo_survey(found: Survey) -> None:
    click.echo(f"{found.location}\ndigest: {found.digest}\npinned: {found.pinned}")
    for side in found.sides:
        name = "training" if side.side == "train" else "validation"
        click.echo(f"{name}: {side.documents:,} documents, {side.text_bytes:,} bytes")
        if side.documents:
            click.echo(
                f"    {side.text_bytes / side.documents:,.0f} bytes a document, the longest {side.longest_bytes:,} "
                f"({side.longest}); {100 * side.ascii_bytes / max(1, side.text_bytes):.1f} % of the bytes are ASCII"
            )
        click.echo(
            f"    {side.empty:,} empty, {side.repeated:,} repeated, {side.in_other_side:,} also on the other side"
        )
    for shard in found.shards:
        click.echo(f"{shard.side}: {shard.file}: {shard.tokens:,} tokens, highest id {shard.highest_id:,}")


def _echo_comparison(found: Comparison) -> None:
    click.echo(f"{found.corpus}: {found.documents:,} documents, {found.text_bytes:,} bytes")
    header = ("tokenizer", "ids", "tokens", "bytes/token", "unigram bits/byte", "ids used", "unknown", "pieces/bytes")
    rows = [
        (
            one.name.rpartition("/")[2],
            f"{one.vocab_size:,}",
            f"{one.tokens:,}",
            f"{one.bytes_per_token:.3f}",
            f"{one.unigram_bits_per_byte:.4f}",
            f"{one.used_ids:,}",
            f"{one.unknown:,}",
            f"{one.piece_bytes_ratio:.5f}",
        )
        for one in found.tokenizers
    ]
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  ".join(cells))
