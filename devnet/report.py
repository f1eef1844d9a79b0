"""The report that the demonstration leaves: one HTML page, which needs nothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from devnet.flow import Lane, flow
from devnet.page import STYLE
from devnet.story import Act
from node.api.quantity import clock_text
from node.api.view import AuditRow, AuditTable, Run


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital: its dataset, with how many tumours in how many bytes."""

    name: str
    dataset: str
    tumours: int
    size: int


@dataclass(frozen=True, slots=True)
class Offline:
    """A site's logs checked without a node: sound, then with one change, which ``changed`` describes."""

    sound: str
    changed: str
    broken: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many numbers were compared with those of the whole table, and the largest relative difference."""

    text: str
    difference: str


@dataclass(frozen=True, slots=True)
class Tale:
    """All that happened. ``plan`` and ``second_run`` are HTML tables, ``figure`` is SVG, ``runs`` oldest first."""

    consortium: str
    hospitals: tuple[Hospital, ...]
    institute: str
    researcher: str
    plan: str
    second_run: str
    runs: tuple[Run, ...]
    compared: Comparison
    figure: str
    refused: str
    asked: str
    audit: AuditTable
    offline: Offline
    acts: tuple[Act, ...]


def report(tale: Tale) -> str:
    """The page."""
    sections = (
        _head(tale),
        _flow(tale),
        _plan(tale),
        _comparison(tale),
        _second_run(tale),
        _refusal(tale),
        _audit(tale),
        _offline(tale),
        _times(tale),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Three hospitals, one question</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def verdict(row: AuditRow) -> str:
    """What was decided and by which rules, or what happened, in few words."""
    rules = ", ".join(row.rules) or row.reason
    return row.reason if row.allowed is None else f"✓ {rules}" if row.allowed else f"✗ {rules}"


def _head(tale: Tale) -> str:
    tumours = sum(each.tumours for each in tale.hospitals)
    figures = (
        (f"{tumours}", f"tumours in {len(tale.hospitals)} hospitals, each with its own table"),
        ("0", "rows that left a hospital; sums did, where a steward had endorsed the code"),
        (tale.compared.difference, "largest relative difference from the same statistics of the whole table"),
        (f"{len(tale.audit.rows)}", f"audit rows about {tale.asked}'s table, each verified against its site's log"),
    )
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in figures)
    return (
        "<header><h1>Three hospitals, one question,<br>and no table that travels</h1>"
        '<p class="stand">Each hospital holds a part of a table of breast tumours that no other site may read. '
        f"{escape(tale.researcher.capitalize())}, a researcher at the {escape(tale.institute)}, needs the statistics "
        "of the whole. The computation went to the data; what each hospital let out was decided there, by its own "
        f"policy.</p></header>"
        f'<div class="figures">{cells}</div>'
    )


def _flow(tale: Tale) -> str:
    runs = [run for run in tale.runs if run.view.results]
    lanes = [
        Lane(
            each.name,
            f"{each.tumours} tumours, {each.size:,} bytes",
            tuple("held, not endorsed yet" if each.name not in run.took_part else "" for run in runs),
        )
        for each in tale.hospitals
    ]
    picture = flow(lanes, tale.institute, "pooled statistics")
    return _section(
        "What went where",
        "An output is held by the hospital that made it until that hospital releases it. In the first run one steward "
        "had not endorsed the block yet; two hospitals were enough for the result, and it says which two.",
        f"<figure>{picture}</figure>",
    )


def _plan(tale: Tale) -> str:
    return _section(
        "The plan, before anything ran",
        "Nobody said where a step runs: the labels of the data did. Cost and finish were held against the budget and "
        "the deadline first, and each site that is not chosen has its reason.",
        f'<div class="wide plan">{tale.plan}</div>',
    )


def _comparison(tale: Tale) -> str:
    return _section(
        "What the third hospital adds, and whether the result is right",
        "The mean of each measure, pooled, against that of the whole table, which only this comparison ever sees.",
        f"<figure>{_inline(tale.figure)}<figcaption>{escape(tale.compared.text)}.</figcaption></figure>",
    )


def _second_run(tale: Tale) -> str:
    return _section(
        "The second run, step by step",
        "Every step has the rule that allowed it at the site that ran it.",
        f'<div class="wide">{tale.second_run}</div>',
    )


def _refusal(tale: Tale) -> str:
    return _section(
        "A request that was refused",
        "The same computation for another purpose. The steward had granted it; the hospital's policy has a rule that "
        "forbids that purpose whatever a grant says. No sandbox was started.",
        f'<pre class="no">{escape(tale.refused)}</pre>',
    )


def _audit(tale: Tale) -> str:
    head = ("when", "where", "who", "what", "block", "purpose", "decision", "proof")
    rows = "".join(_audit_row(row) for row in tale.audit.rows)
    top = "".join(f"<th>{each}</th>" for each in head)
    return _section(
        f"Who accessed {tale.asked}'s table",
        "Every member was asked, and every row verified where it is read: its leaf is in the site's signed log, under "
        "a checkpoint that other sites have cosigned. A block that the asker's site does not see has no name here.",
        f'<div class="wide trail"><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>',
    )


def _audit_row(row: AuditRow) -> str:
    proof = f"✓ {row.index} of {row.size}, {len(row.cosigners)} cosigned"
    when = clock_text(row.at)[11:]
    cells = (when, row.site_name, row.who, row.kind, row.block_name, row.purpose, verdict(row), proof)
    mark = ' class="no"' if row.allowed is False else ""
    return f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _offline(tale: Tale) -> str:
    return _section(
        "The logs, checked without any node",
        f"A copy of {tale.asked}'s folder, after every node had stopped. Then {tale.offline.changed} was changed.",
        f'<pre class="yes">$ comity audit verify copy\n{escape(tale.offline.sound)}</pre>',
        f'<pre class="no">$ comity audit verify copy\n{escape(tale.offline.broken)}</pre>',
    )


def _times(tale: Tale) -> str:
    longest = max(act.seconds for act in tale.acts)
    bars = "".join(
        f'<div>{escape(act.title)}</div><span><i style="width:{max(1.0, 70 * act.seconds / longest):.1f}%"></i>'
        f"{act.seconds:.1f} s</span>"
        for act in tale.acts
    )
    return (
        _section("How long it took", "On this machine, everything on loopback.", f'<div class="bars">{bars}</div>')
        + f"<footer>Consortium <code>{escape(tale.consortium)}</code><br>"
        "Data: Breast Cancer Wisconsin (Diagnostic), W. H. Wolberg, O. L. Mangasarian and W. N. Street, as "
        "scikit-learn ships it. The institutions are invented.</footer>"
    )


def _section(title: str, text: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{''.join(parts)}</section>"


def _inline(svg: str) -> str:
    """An SVG document as part of a page: without the lines that stand before its root element."""
    return svg[svg.index("<svg") :]
