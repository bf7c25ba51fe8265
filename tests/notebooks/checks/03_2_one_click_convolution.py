"""Check what notebook 03_2 says about its numbers."""


def check(notebook):
    the_network_that_can_see(notebook)
    nothing_is_lost(notebook)
    what_a_kernel_is_worth(notebook)
    choosing_kernels(notebook)
    costs_and_gains(notebook)


def the_network_that_can_see(n):
    parameters = [sum(p.numel() for p in one.parameters()) for one in (n.lite0, n.first_lab.model)]
    assert 1.9 < parameters[1] / parameters[0] < 2.1
    assert sum(name.endswith("conv") for name in n.first_lab.report.touched) == 49
    for network in (n.lite0, n.first_lab.model):
        assert next(iter(n.see(network, n.load_photograph("rocket")))) == "matchstick"
    rocket = n.load_photograph("rocket")
    large = [c.name for c in n.top_classes(n.lite0, rocket, n.card, size=224)]
    assert large[0] == "missile" and "matchstick" not in large
    assert not any("rocket" in name for name in n.card.classes)
    seen = n.see(n.lite0)
    assert list(seen)[:4] == ["Egyptian cat", "tiger cat", "tabby", "lynx"]
    assert len(n.conv.list_convs(n.lite0, n.example)) == 49
    assert max(n.see(n.broken).values()) < 0.05 and not set(n.cats) & set(n.see(n.broken))
    beside = {name: "with a" in name for name in n.cats_left}
    assert sum(beside.values()) == 9 and len(beside) == 16
    for name, left in n.cats_left.items():
        assert min(left) > 0.8 if beside[name] else max(left) < 0.02, name
    as_it_came, by_hand, edited = map(list, zip(*n.kept, strict=True))
    assert min(as_it_came) > 0.6 and max(by_hand) < 0.02
    assert all(abs(p - q) < 1e-4 for p, q in zip(as_it_came, edited, strict=True))
    assert set(n.report.touched) == {
        "stage2.0.expand.conv",
        *(f"stage2.0.{name}" for name in n.new_layers),
    }


def nothing_is_lost(n):
    assert n.report.difference(n.example) < 1e-5
    more = [after / before for before, after in (n.report.parameters, n.report.multiply_adds)]
    assert more[0] < 1.01 and 1.8 < more[1] < 1.9
    assert len(n.changed) == 6 and set(n.changed) == {
        *(f"stage2.1.project.{kind}" for kind in ("conv", "norm")),
        *(f"stage2.0.project.{kind}" for kind in ("conv", "norm")),
        "stage2.1.expand.conv",
        "stage3.0.expand.conv",
    }
    assert len(n.stream.touched) == 12
    before = n.see(n.lite0)
    for network in (n.edited, n.larger, n.wide, n.first_lab.model):
        after = n.see(network)
        assert list(after) == list(before)
        assert all(abs(after[name] - before[name]) < 1e-5 for name in before)
    assert sorted(n.origin.tolist()) != sorted(set(n.origin.tolist())) and len(n.origin) == 40
    trained = n.accuracies["as trained"]
    for layer in ("conv1", "conv2"):
        assert n.accuracies[f"{layer}: edit_conv, 48 kernels"] == trained
    assert n.draws["conv1"][-1] < 0.2, "about as good as a guess"
    assert 0.2 < n.draws["conv2"][-1] < 0.3, "at best one time in four"


def what_a_kernel_is_worth(n):
    share = n.whole[0]
    smallest = n.conv.kernel_order(n.lite0, "stem.conv", "smallest")
    assert min(n.probabilities(smallest[:count])[0] for count in range(15)) > 0.9 * share
    assert n.probabilities(smallest[-12:])[0] < 0.1 * share
    blank = [k for k in range(32) if n.lite0.stem.conv.weight[k].abs().max() < 1e-6]
    assert len(blank) == 4
    seen = n.silence.result.after
    assert n.silence.result.silent == (18,) and seen[0].name == "lynx"
    assert n.matter == [8, 9, 10, 18, 22]
    assert 0.4 < n.alone[10][1] < 0.6, "about half of the espresso"
    with n.torch.no_grad():
        white = (n.lite0.stem(n.example)[0].flatten(1).amax(1) == 0).nonzero().flatten().tolist()
    assert white == sorted([*blank, 29])
    cat, coffee, monkey, photographer, zebra = range(5)
    assert n.alone[18][cat] < 0.5 and min(n.alone[18][1:]) > 0.7
    assert max(n.alone[8][coffee], n.alone[8][monkey]) < 0.2
    assert max(n.alone[k][coffee] for k in (8, 9, 22)) < 0.2 and n.alone[22][monkey] < 0.2
    assert all(n.alone[9][photographer] <= n.alone[k][photographer] for k in range(32))
    assert 0.6 < n.alone[9][photographer] < 0.8
    assert min(n.alone[k][zebra] for k in range(32)) > 0.95
    for k in blank:
        assert n.lite0.stem.norm.bias[k] < -1, "the activation makes it 0"
    whole, without_blank = (
        n.see(n.conv.edit_conv(n.lite0, "stem.conv", out_channels=k, example_input=n.example))
        for k in (32, 28)
    )
    assert all(abs(whole[name] - without_blank[name]) < 1e-4 for name in whole)
    assert len(set(n.survivors)) == 16 and 18 not in n.survivors
    assert next(iter(n.see(n.narrow))) in n.cats


def choosing_kernels(n):
    found = (*n.curves.values(), n.best, n.worst)
    active, smallest, chance, best, worst = (dict(zip(n.removed, v, strict=True)) for v in found)
    assert active[20] > smallest[20] + 0.02, "looking at what kernels do should help"
    assert max(smallest[k] - chance[k] for k in n.removed) < 0.03, "small weights should not help"
    assert min(active[k] - best[k] for k in n.removed) > -0.01, "as good as the best draw"
    assert all(worst[k] - 0.01 < smallest[k] < best[k] + 0.01 for k in n.removed)
    gaps = {k: active[k] - best[k] for k in n.removed}
    assert max(gaps, key=gaps.get) == 20
    assert 0 < active[0] - active[8] < 0.025, "a quarter less should cost about a point"
    assert abs(n.halved["2 groups"] - n.halved["half the kernels"]) < 0.05


def costs_and_gains(n):
    one, eight, two = n.kept_share.values()
    assert 0.25 < one < 0.35 < two < 0.45 and 0.78 < eight < 0.88
    at_random = n.kept_of_random.values()
    gains = [kept - chance for kept, chance in zip(n.kept_share.values(), at_random, strict=True)]
    assert 0 < gains[0] < 0.1 and min(gains[1:]) > 0.15, "hardly more, clearly more than random"
    start, trained_on = n.accuracy["unchanged"]
    low, high = n.look(n.trained).interval()
    assert 0.03 < high - low < 0.05
    for name in ("kernel 5 × 5", "twice the kernels"):
        assert n.accuracy[name][0] == start and abs(n.accuracy[name][1] - trained_on) < 0.015
    assert len(n.kernels) == 64 and len(n.kernels.unique(dim=0)) == 32
    assert min(n.accuracy, key=lambda name: n.accuracy[name][1]) == "stride 2"
    cut = ("dilation 2", "stride 2", "4 groups", "half the kernels", "depthwise-separable")
    assert max(n.accuracy[name][0] for name in cut) < n.accuracy["bottleneck of 8"][0] < start
    assert all(after > at_once - 0.01 for at_once, after in n.accuracy.values())
    separable, pair = (n.accuracy[name] for name in ("depthwise-separable", "bottleneck of 2"))
    assert separable[0] < start - 0.15 and separable[0] + 0.02 < pair[0]
    cost = {name: n.work[name] / n.work["unchanged"] for name in n.networks}
    assert 0.2 < cost["bottleneck of 2"] < cost["depthwise-separable"] + 0.01 < 0.3
    at_first, slow, fast = n.moved.values()
    assert len(n.noisy.conv2.weight.flatten(1).unique(dim=0)) == 64
    assert 0.01 < at_first < 0.02 and slow < 0.02 and fast > 0.08
    found = list(n.compared.values())
    for plain, widened in zip(found[::2], found[1::2], strict=True):
        assert abs(widened.accuracy - plain.accuracy) < 0.02
        low, high = plain.interval()
        assert low < widened.accuracy < high
