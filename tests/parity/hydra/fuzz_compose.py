"""Random config trees: each is composed about ten times with random overrides."""
import random

import oracle

OPTIONS = ["o1", "o2", "o3"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.known = []

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, p):
        return self.random.random() < p

    def groups(self):
        top = ["ga", "gb", "gc", "gd"][:self.random.randrange(2, 5)]
        nested = [f"{g}/{n}" for g in top for n in ("na", "nb") if self.chance(0.3)]
        return top + nested

    def value(self):
        return self.pick(["1", "0.5", "1e-3", "true", "null", "x", "'1'", "[1, 2]", "[]", "{}", "{p: 1}", "{p: {q: 2}, r: z}", "???", "${k0}",
                          "${ga.k1}", "${.k0}", "${..k1}", "a ${k0} b", "[{a: 1}, b]", "on", "\"\"", "1e16", "-0.0", "'y'", "[${k0}]",
                          "{s: '${k0}'}", "${nope}", "a\\b"])

    def body(self, depth=0):
        lines = []
        for key in self.random.sample(["k0", "k1", "k2", "k3"], self.random.randrange(4)):
            lines.append(f"{key}: {self.value()}")
        if self.chance(0.15):
            lines.append(self.pick(["ga: {k0: 7, k1: 8}", "gb: 3", "m: {n: {o: 1}}", "1: one", "true: t", "ga: {na: {k0: 5}}", "1.5: f"]))
        return lines

    def package(self):
        return self.pick(["_global_", "p", "p.q", "_group_", "_here_", "k3", "ga", "_global_.z", "_group_.w", ""])

    def entry(self, groups, inside):
        kind = self.random.random()
        group = self.pick(groups)
        if inside and group.startswith(inside + "/"):
            group = group[len(inside) + 1:]
        elif inside or self.chance(0.1):
            group = self.pick(["/" + group, group])
        option = self.pick(OPTIONS)
        package = "@" + self.package() if self.chance(0.2) else ""
        if kind < 0.12:
            return f"{group}/{option}{package}"
        if kind < 0.18:
            return f"{group}{package}: null"
        if kind < 0.26:
            return f"optional {group}{package}: {self.pick([option, 'nope'])}"
        if kind < 0.30 and self.known:
            return f"override {self.pick(['/', '/', ''])}{self.pick(self.known)}: {option}"
        if kind < 0.36:
            return f"{group}{package}: [{option}, {self.pick(OPTIONS)}]"
        if kind < 0.39 and self.known:
            return f"{group}{package}: ${{{self.pick(self.known)}}}"
        if kind < 0.395:
            return f"{group}{package}: ???"
        if kind < 0.41:
            return self.pick([f"{group}: 1", "5", f"{group}: {option}.yaml", "_self_@x", "null", f"optional override {group}: {option}",
                              f"override optional {group}: {option}", f"{group}: o${{oc.env:NOPE_X,1}}", f"{group}: nope"])
        self.known.append((group + package).lstrip("/"))
        return f"{group}{package}: {option}"

    def file(self, groups, inside, defaults_chance):
        lines = []
        if self.chance(0.12):
            lines.append(f"# @package {self.package()}".rstrip())
        if self.chance(defaults_chance):
            free = self.random.sample(groups, min(len(groups), self.random.randrange(1, 4)))
            entries = [self.entry([group] if self.chance(0.9) else groups, inside) for group in free]
            if self.chance(0.97):
                entries.sort(key=lambda e: e.startswith("override") or e.startswith("optional override"))
            if self.chance(0.6):
                plain = [i for i, e in enumerate(entries) if not e.startswith("override")]
                entries.insert(self.pick(plain + [0]) + (1 if plain and self.chance(0.7) else 0), "_self_")
            lines.append("defaults:")
            lines += [f"  - {e}" for e in entries]
        return "\n".join(lines + self.body()) + "\n"

    def tree(self):
        groups = self.groups()
        self.known = []  # groups that some defaults list chooses
        files = {"config.yaml": self.file(groups, "", 0.95), "config2.yaml": self.file(groups, "", 0.95)}
        for group in groups:
            for option in OPTIONS:
                if self.chance(0.98):
                    below = [g for g in groups if g.startswith(group + "/")]
                    files[f"{group}/{option}.yaml"] = self.file(below or groups, group, 0.3 if below else 0.06)
        return groups, files

    def override(self, groups, paths):
        kind = self.random.random()
        group = self.pick(self.known or groups) if self.chance(0.8) else self.pick(groups)
        if kind < 0.3:
            text = self.pick([f"{group}={self.pick(OPTIONS)}", f"+{group}={self.pick(OPTIONS)}", f"{group}@p={self.pick(OPTIONS)}",
                              f"~{group}", f"~{group}={self.pick(OPTIONS)}", f"+{group}@{self.pick(['p', 'p.q', '_global_', '_here_', ''])}={self.pick(OPTIONS)}",
                              f"{group}=[{self.pick(OPTIONS)},{self.pick(OPTIONS)}]", f"++{group}={self.pick(OPTIONS)}", f"{group}=nope",
                              f"{group}={{k0:5}}"])
            return text
        key = self.pick(["k0", "k1", "k2", "k3", "ga.k0", "ga.k1", "gb.k2", "ga.na.k0", "m.n.o", "k1.p", "k2.0", "k3.0.a", "new", "new.x.y",
                         "ga", "k1.p.q", "k0.z", "p.k1", "p.q.k0"])
        if paths and self.chance(0.7):
            key = self.pick(paths)
        value = self.pick(["1", "x", "null", "[3]", "[]", "{}", "{p:9}", "{p:{q:3}}", "{new:1}", "", "'a b'", "${k0}", "'${ga.k1}'", "1e-5", "true",
                           "???", "[1,{a:2}]", "'1'", "{1:2}", "inf", "0x1"])
        prefix = self.pick(["", "", "+", "++", "~"])
        if prefix == "~" and self.chance(0.6):
            return prefix + key
        return f"{prefix}{key}={value}"


def key_paths(value, prefix=""):
    """Dotted paths of all keys of an encoded configuration."""
    if not isinstance(value, dict) or "$dict" not in value:
        return set()
    paths = set()
    for key, below in value["$dict"]:
        paths |= {f"{prefix}{key}"} | key_paths(below, f"{prefix}{key}.")
    return paths


def records(count, seed):
    generator = Generator(seed)
    result = [oracle.environment()]
    for number in range(count):
        groups, files = generator.tree()
        tree = oracle.Tree(f"T{number}", files)
        result.append(tree.record())
        for config in ("config", "config2"):
            result.append(tree.compose(config, [], resolve=True))
            paths = sorted(key_paths(result[-1].get("cfg")))
            for _ in range(5):
                overrides = [generator.override(groups, paths) for _ in range(generator.pick([1, 1, 1, 2, 3]))]
                result.append(tree.compose(config, overrides, resolve=True))
    return result
