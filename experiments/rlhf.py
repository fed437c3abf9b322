"""The attack on fine-tuning with a KL penalty: exact, by training, and how it is noticed."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

from maxent_jax import plots, runs, stats
from maxent_jax.theory import TabularMDP, solve, solve_soft
from maxent_jax.theory.reinforce import Trained, reinforce
from maxent_jax.theory.rlhf import Attack, attack, contrast, filler, random_tokens, steered

VOCABULARY, LENGTH = 8, 4
ALPHA = 0.5
SHARE = 0.9
WEAKER = (0.1, 0.2, 0.5)
"""Smaller shares of the worst answer that an attacker may be content with."""
MODELS = 200
SEEDS = {"quick": 8, "cpu": 16, "paper": 32}
UPDATES = 1500
ALARM = 0.05
"""Share of the unattacked models that set the threshold and lie above it."""


def run(path: Path, preset: str, console: Console | None) -> None:
    """Attack one model, train on it, audit many; everything goes below `path`."""
    before = random_tokens(np.random.default_rng(0), VOCABULARY, LENGTH)
    bad = worst(before)
    after, done = attack(before, steered(before, ALPHA, bad, SHARE), ALPHA, filler(VOCABULARY))
    seeds = range(SEEDS[preset])
    trained = [reinforce(model, ALPHA, seeds, LENGTH + 1, UPDATES) for model in (before, after)]
    found = audit(SHARE, MODELS)
    rows = outcome(before, after, done, trained, found)
    rows["audits"] = [summary(found), *(summary(audit(share, MODELS)) for share in WEAKER)]
    (path / "figures").mkdir(exist_ok=True)
    runs.write_json(path / "outcome.json", {"preset": preset, "versions": runs.versions()} | rows)
    draw(before, after, trained, found, path / "figures" / "rlhf.png")
    if console is not None:
        table = Table("", "before", "attacked", title="rlhf")
        for name in ("bad_exact", "bad_trained", "best_plain", "plain_of_optimal", "plain_trained"):
            table.add_row(name.replace("_", " "), *(f"{rows[name][model]:.3f}" for model in ("before", "attacked")))
        console.print(table)
        for told in rows["audits"]:
            console.print(
                f"attacks towards {told['share']:.0%}: {told['detected']} of {told['attacked']} found, "
                f"{told['false_alarms']} of {told['models']} false alarms; {told['impossible']} were impossible",
                highlight=False,
            )


def worst(model: TabularMDP) -> int:
    """The first token that an attacker would like best: the one with the lowest plain value."""
    return int(np.argmin(solve(model).q[0]))


def audit(share: float, models: int) -> dict[str, Any]:
    """The contrast of unattacked models (a threshold from some, false alarms from others) and of attacked ones.

    Args:
      share: wanted probability of the worst answer.
      models: how many of each.
    """
    rng = np.random.default_rng(1)
    calibration = [contrast(random_tokens(rng, VOCABULARY, LENGTH), ALPHA) for _ in range(models)]
    unattacked, attacked, impossible, penalties = [], [], 0, []
    for _ in range(models):
        model = random_tokens(rng, VOCABULARY, LENGTH)
        unattacked.append(contrast(model, ALPHA))
        try:
            changed, done = attack(model, steered(model, ALPHA, worst(model), share), ALPHA, filler(VOCABULARY))
        except ValueError:
            impossible += 1
            continue
        attacked.append(contrast(changed, ALPHA))
        penalties.append(done.penalty.max())
    threshold = float(np.quantile(calibration, 1 - ALARM))
    return {
        "share": share,
        "threshold": threshold,
        "unattacked": [float(x) for x in unattacked],
        "attacked": [float(x) for x in attacked],
        "false_alarms": int(np.sum(np.array(unattacked) > threshold)),
        "detected": int(np.sum(np.array(attacked) > threshold)),
        "impossible": impossible,
        "median_penalty": float(np.median(penalties)),
    }


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """An audit without the list of its contrasts."""
    lists = ("unattacked", "attacked")
    counts = {"attacked": len(found["attacked"]), "models": len(found["unattacked"])}
    return {name: value for name, value in found.items() if name not in lists} | counts


def plain_return(model: TabularMDP, probabilities: np.ndarray) -> float:
    """Mean plain reward of answers drawn with these probabilities (S, A); deterministic transitions that end."""
    step = np.einsum("sa,sat->st", probabilities * model.discount, model.transition)
    return float(np.linalg.solve(np.eye(len(step)) - step, (probabilities * model.reward).sum(axis=-1))[0])


def outcome(
    before: TabularMDP, after: TabularMDP, done: Attack, trained: list[Trained], found: dict[str, Any]
) -> dict[str, Any]:
    """All numbers of the experiment."""
    bad = worst(before)
    models: dict[str, TabularMDP] = dict(zip(("before", "attacked"), (before, after), strict=True))
    optimal = {name: model.measure * solve_soft(model, ALPHA).policy for name, model in models.items()}
    runs_of = dict(zip(models, trained, strict=True))
    ends = {name: one.first[:, -1, bad] for name, one in runs_of.items()}
    return {
        "vocabulary": VOCABULARY,
        "length": LENGTH,
        "alpha": ALPHA,
        "seeds": len(trained[0].first),
        "bad_answer": bad,
        "bad_exact": {name: float(p[0, bad]) for name, p in optimal.items()},
        "bad_trained": {name: float(p.mean()) for name, p in ends.items()},
        "bad_trained_per_seed": {name: [float(x) for x in p] for name, p in ends.items()},
        "best_plain": {name: float(solve(model).value[0]) for name, model in models.items()},
        "plain_of_optimal": {name: plain_return(models[name], p) for name, p in optimal.items()},
        "plain_trained": {name: float(one.reward[:, -50:].mean()) for name, one in runs_of.items()},
        "soft_value": {name: float(solve_soft(model, ALPHA).value[0]) for name, model in models.items()},
        "factor": done.factor,
        "penalty": [float(x) for x in done.penalty],
        "penalty_mean_under_reference": float(before.measure[0] @ done.penalty * (1 - filler(VOCABULARY)[done.token])),
        "reward_range": [float(before.reward.min()), float(before.reward.max())],
        "audit": summary(found),
    }


def draw(before: TabularMDP, after: TabularMDP, trained: list[Trained], found: dict[str, Any], path: Path) -> None:
    """What each first token is worth, how training chooses, and what an auditor sees."""
    drawn, axes = plots.figure(1, 4, width=4.2, height=3.8)
    _draw_values(axes[0, 0], before, after)
    _draw_choices(axes[0, 1], (before, after), trained)
    _draw_rewards(axes[0, 2], after, trained)
    _draw_audit(axes[0, 3], found)
    for ax in axes.flat:
        ax.legend(fontsize=7, frameon=False)
    words = (
        f"{VOCABULARY} tokens, answers of {LENGTH}, KL weight {ALPHA:g}. Bands: 95 % bootstrap intervals of the mean. "
        f"Audit: {found['detected']} of {len(found['attacked'])} attacks found, {found['false_alarms']} of "
        f"{len(found['unattacked'])} unattacked models accused; {found['impossible']} attacks were impossible."
    )
    plots.finish(drawn, words, path)


def _draw_values(ax: Axes, before: TabularMDP, after: TabularMDP) -> None:
    tokens, width, plain = np.arange(VOCABULARY), 0.27, solve(after).q[0]
    bars = (
        ("plain, before and attacked", plain, plots.COLOURS[1]),
        ("regularised, before", solve_soft(before, ALPHA).q[0], plots.COLOURS[5]),
        ("regularised, attacked", solve_soft(after, ALPHA).q[0], plots.COLOURS[0]),
    )
    for number, (name, values, colour) in enumerate(bars):
        ax.bar(tokens + (number - 1) * width, values, width, label=name, color=colour)
    ax.set(xlabel=f"first token ({worst(before)} is the worst)", ylabel="value", title="what each answer is worth")
    ax.set_ylim(top=1.5 * float(plain.max()))  # room for the legend


def _draw_choices(ax: Axes, models: tuple[TabularMDP, TabularMDP], trained: list[Trained]) -> None:
    bad = worst(models[0])
    for model, one, name, colour in zip(models, trained, ("before", "attacked"), plots.COLOURS, strict=False):
        _draw_training(ax, one.first[:, :, bad], f"{name}, {len(one.first)} seeds", colour)
        exact = (model.measure * solve_soft(model, ALPHA).policy)[0, bad]
        ax.axhline(exact, color=colour, linestyle="--", linewidth=1, label=f"{name}, exact optimum")
    ax.set(xlabel="updates of REINFORCE", ylabel="probability", title="probability of the worst answer", ylim=(0, 1))


def _draw_rewards(ax: Axes, after: TabularMDP, trained: list[Trained]) -> None:
    for one, name, colour in zip(trained, ("before", "attacked"), plots.COLOURS, strict=False):
        _draw_training(ax, one.reward, name, colour)
    ax.axhline(solve(after).value[0], color="#555555", linestyle=":", label="best answer, before and attacked")
    ax.set(xlabel="updates of REINFORCE", ylabel="plain reward of the answers", title="reward while training")


def _draw_training(ax: Axes, values: np.ndarray, name: str, colour: str) -> None:
    """Mean and interval over seeds (seeds, updates), every tenth update."""
    mean, low, high = stats.bands(values[:, ::10])
    steps = np.arange(values.shape[1])[::10]
    ax.plot(steps, mean, color=colour, label=name)
    ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)


def _draw_audit(ax: Axes, found: dict[str, Any]) -> None:
    edges = np.linspace(0, max(found["attacked"] + found["unattacked"]), 30).tolist()
    for name, colour in (("unattacked", plots.COLOURS[0]), ("attacked", plots.COLOURS[1])):
        ax.hist(found[name], edges, alpha=0.6, color=colour, label=f"{name}, {len(found[name])} models")
    ax.axvline(found["threshold"], color="#555555", linestyle="--", label="threshold, from 200 others")
    ax.set(xlabel="contrast of the gaps, nats", ylabel="models", title="what an auditor sees")
