import json

from benchmarks import figures

SPREAD = {"median": 4.0, "min": 3.0, "max": 6.0}


def test_draws_and_tells_what_was_measured_and_leaves_out_the_rest(tmp_path, capsys):
    found = {
        "scaling": {"rows": {"SAC 64-64 by runs": {"1": {"updates": SPREAD}, "8": {"updates": SPREAD}}}},
        "fast": {
            "seconds": {
                "4 actions, 1 run": {
                    "sac": SPREAD,
                    "sac_adaent, exact": SPREAD | {"median": 80.0},
                    "sac_adaent, fast": SPREAD | {"median": 9.0},
                }
            }
        },
        "peers": {
            "goals": [{"goal": "ours over theirs", "value": None, "bound": 2.0, "met": None}],
            "stages": {
                "ppo": {
                    "64-64": {
                        "ours": {"env_steps_per_second": SPREAD},
                        "theirs": {"env_steps_per_second": SPREAD | {"median": 8.0}},
                        "broken": {"error": "no such package"},
                    }
                },
                "learn": {
                    "64-64, 1 run": {
                        "ours": {"median_seconds": 1.25, "median_seconds_with_startup": 8.0},
                        "late": {"median_seconds": None, "median_seconds_with_startup": None},
                        "broken": {"error": "no such package"},
                    }
                },
            },
        },
        "budgets": {"told_and_measured": {"sac on toy": {"told": 2.0, "measured": 3.0, "measured_over_told": 1.5}}},
    }
    for name, result in found.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    figures.main(tmp_path, tmp_path)
    for name in ("scaling", "cost"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.splitlines() == [
        "| what | measured | benchmark |",
        "| --- | --- | --- |",
        "| SAC-AdaEnt's update in SAC's, 256-256, n = 100, 4 actions, 1 run | exact 20.0, fast 2.2 | `fast` |",
        "| ours over theirs (goal 2) | not measured | `peers` |",
        "| PPO, 64-64: ours over others, environment steps/s | theirs 0.50 | `peers` |",
        "| seconds until SAC, 64-64, 1 run, has learned the pendulum (with start-up) | ours 1.2 (8.0) | `peers` |",
        "| seconds of sac on toy over what `plan` told | 1.50 | `budgets` |",
    ]


def test_rules_are_told_best_first():
    rows = {
        "never": {"passes_at_4_actions": 0.0, "by_task": {"toy": [0.0, 1.0]}, "behind_a_fresh_draw": [-0.9, 0.1]},
        "fast": {"passes_at_4_actions": 0.0, "by_task": {"toy": [0.97, 0.85]}, "behind_a_fresh_draw": [0.0, -0.1]},
    }
    assert figures.markdown(figures.rules({"rules": rows})).splitlines()[2:] == [
        "| fast | 0 | .97 / .85 |",
        "| never | 0 | .00 / 1.00 |",
    ]
