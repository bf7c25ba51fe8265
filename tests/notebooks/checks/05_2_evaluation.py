"""The bands behind the prose of notebook 05_2."""


def check(notebook):
    found, report, names = notebook.found, notebook.report, notebook.data.classes
    assert len(notebook.predicted) == 16 and min(notebook.lucky) < 0.85 and max(notebook.lucky) == 1
    assert 0.012 < (report.accuracy.high - report.accuracy.low) / 2 < 0.014
    shirt = report.recall[names.index("Shirt")]
    assert 0.05 < (shirt.high - shirt.low) / 2 < 0.07
    above = {name: one for name, one in notebook.recall.items() if one.low < shirt.high}
    assert set(above) == {"Shirt", "Coat", "Pullover"}
    assert min(notebook.recall.values(), key=lambda one: one.middle) == shirt

    groups = [{0, 2, 3, 4, 6}, {5, 7, 9}]
    inside = sum(notebook.matrix.counts[i, j] for g in groups for i in g for j in g if i != j)
    assert inside > 0.9 * len(notebook.wrong)

    panel = notebook.rare_panel
    panel.set(network="first_cnn", rare="Shirt", share=0.05)
    for network in ("first_cnn", "small_resnet"):
        panel.set(network=network)
        network, lazy = panel.result.report, panel.result.lazy
        assert lazy.accuracy.middle > network.accuracy.middle
        assert lazy.macro.f1.middle < network.macro.f1.middle
        assert len(panel.result.matrix.labels) == 1810
    panel.set(share=1.0)
    assert panel.result.lazy.accuracy.middle < panel.result.report.accuracy.middle

    runs = notebook.runs.set_index(["strength", "seed"])
    assert runs.loc[0.0].recall.max() <= 0.015
    assert (runs.loc[1.0].f1 > runs.loc[0.0].f1).all()
    assert (runs.loc[1.0].accuracy > runs.loc[0.0].accuracy - 0.01).all()

    assert notebook.curves["Shirt"].area == min(c.area for c in notebook.curves.by_class.values())
    assert abs(notebook.roc["Shirt"].area - notebook.curves["Shirt"].area) < 0.02
    assert 0.2 < notebook.precision["Shirt"].area < 0.45
    assert notebook.before.excess < -0.05 and notebook.after.error < notebook.before.error / 3
    there = notebook.before.counts > 0
    assert (notebook.before.accuracy > notebook.before.confidence)[there].all()
    assert notebook.temperature < 1
    stored = notebook.stored.frame().set_index("network")
    assert (stored.loc["plain"].temperature > 1).all() and stored.error_after.max() < 0.025
    assert (stored.drop("plain").temperature < 1).all()

    assert 0.015 < notebook.other.accuracy - found.accuracy < 0.021
    first, second, third, fourth, *seeds = notebook.gains.values()
    assert fourth.low > 0 and all(one.low < 0 < one.high for one in (first, second, third, *seeds))
    needed = dict(zip(notebook.differences, notebook.needed["they differ on 5%"][1], strict=True))
    assert needed[0.015] < 2000 < needed[0.01] and 80_000 < needed[0.002] < 110_000

    curves = notebook.trainings.items()
    ends = {name: (one.train_accuracy[-1], one.validation_accuracy[-1]) for name, one in curves}
    assert ends["A"][0] > 0.97 and ends["A"][0] - ends["A"][1] > 0.1
    assert ends["B"][0] < 0.6 and max(ends["C"]) < 0.15
    assert ends["D"][0] > 0.7 and ends["D"][1] < 0.2
    assert abs(ends["E"][0] - ends["E"][1]) < 0.06 and ends["E"][1] > 0.78
