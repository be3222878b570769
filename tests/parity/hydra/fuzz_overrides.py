"""Random overrides: from the grammar, a tenth of them mutated."""
import random

import oracle

KEYS = ["a", "a.b", "a.0", "a-b", "$a", "a/b", "a/b/c", "model", "a@p", "a@p.q", "a@", "db@_global_", "_x", "a.b.c", "a.$b",
        "A9", "hydra.run.dir", "", "a.00", "0.a", "a..b", "a b", "1", "@p", "a/", "/a", "a@p@q", "é"]
WORDS = ["x", "abc", "foo_1", "a-b", "null", "NULL", "true", "False", "TrUe", "inf", "-inf", "nan", "NaN", "+nan", "on", "yes",
         "infx", "nullx", "e5", "_", "_1"]
NUMBERS = ["0", "1", "-1", "+3", "10", "1_000", "1__0", "01", "00", "-0", "0x10", ".5", "5.", "-.5", "1e3", "1e-4", "1E+5", "1.5e3",
           "1_0e1_0", "1.2.3", "1e", "1.e3", ".5e1", "1_0.5_0", "9007199254740993", "123456789012345678901234567890", "1e400",
           "1e16", "1e15", "123456.789", "-1e-7", "0.1", "0e0", "5._1", "1e5x", "10k"]
CHARS = list("/-\\+.$%*@?|:") + ["~", "#", "=", "(", ")", "é", ";", "&", "!", "<", " ", "\t", "'", '"', "[", "]", "{", "}", ","]
ESCAPES = ["\\\\", "\\(", "\\)", "\\[", "\\]", "\\{", "\\}", "\\:", "\\=", "\\,", "\\ ", "\\\t", "\\q", "\\'", "\\"]
INTERPOLATIONS = ["${a}", "${a.b}", "${oc.env:HOME,x}", "${}", "${a", "${ a }", "${f:${x}}", "${now:%Y}", "${a:b,c}", "${..a}"]
QUOTED_PARTS = ["x", " ", "\\'", '\\"', "\\\\", "\\", "\\n", ",", "${a}", "é", "1", "'", '"', "[", "#"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def blank(self):
        return self.pick(["", "", "", "", " ", "  ", "\t"])

    def quoted(self):
        quote = self.pick("'\"")
        return quote + "".join(self.pick(QUOTED_PARTS) for _ in range(self.random.randrange(4))) + quote

    def run(self):
        parts = []
        for _ in range(self.pick([1, 1, 1, 2, 2, 3, 4])):
            kind = self.random.random()
            if kind < 0.35:
                parts.append(self.pick(WORDS))
            elif kind < 0.65:
                parts.append(self.pick(NUMBERS))
            elif kind < 0.78:
                parts.append(self.pick(CHARS[:12]))
            elif kind < 0.86:
                parts.append(self.pick(ESCAPES))
            elif kind < 0.94:
                parts.append(self.pick(INTERPOLATIONS))
            else:
                parts.append(self.pick([" ", "  ", "\t"]))
        return "".join(parts)

    def element(self, depth=0):
        kind = self.random.random()
        if depth > 3 or kind < 0.55:
            return self.run()
        if kind < 0.65:
            return self.quoted()
        if kind < 0.77:
            return "[" + self.blank() + self.joined(depth) + self.blank() + "]"
        if kind < 0.87:
            pairs = [f"{self.run()}{self.blank()}:{self.blank()}{self.element(depth + 1)}"
                     for _ in range(self.random.randrange(4))]
            return "{" + self.blank() + f"{self.blank()},{self.blank()}".join(pairs) + "}"
        return self.call(depth)

    def joined(self, depth):
        return f"{self.blank()},{self.blank()}".join(self.element(depth + 1) for _ in range(self.random.randrange(4)))

    def call(self, depth):
        name = self.pick(["choice", "range", "range", "glob", "interval", "sort", "shuffle", "tag", "int", "float", "str", "bool",
                          "foo"])
        if name in ("range", "interval") and self.random.random() < 0.85:
            arguments = [self.pick(["0", "1", "3", "10", "-2", "0.5", "1e1", "0.1", "2.5", "true", "-0.3"])
                         for _ in range(self.pick([1, 2, 2, 3]))]
        elif name == "tag" and self.random.random() < 0.7:
            arguments = [self.run() for _ in range(self.random.randrange(3))] + [self.call(depth + 1)]
        elif name in ("sort", "shuffle", "int", "float", "str", "bool") and self.random.random() < 0.4:
            arguments = [self.call(depth + 1)] if depth < 3 else [self.run()]
        else:
            arguments = [self.element(depth + 1) for _ in range(self.pick([0, 1, 1, 2, 3]))]
        named = self.pick(["", "", "", "reverse=true", "step=2", "start=1", "exclude=x", "value=1", "list=[2,1]", "sweep=choice(2,1)",
                           "stop=4", "include=a", "end=3", "reverse=1", "nope=1"])
        if named:
            arguments.append(named)
        return f"{name}{self.blank()}({self.blank()}" + f"{self.blank()},{self.blank()}".join(arguments) + f"{self.blank()})"

    def override(self):
        key = self.pick(KEYS[:17]) if self.random.random() < 0.93 else self.pick(KEYS)
        prefix = self.pick(["", "", "", "", "+", "++", "~"]) if self.random.random() < 0.97 else self.pick(["+++", "~~", "+~"])
        if prefix == "~" and self.random.random() < 0.4:
            return prefix + key
        count = self.pick([0, 1, 1, 1, 1, 1, 1, 2, 3]) if self.random.random() < 0.9 else 1
        value = f"{self.blank()},{self.blank()}".join(self.element() for _ in range(count))
        return self.mutated(f"{prefix}{key}={self.blank()}{value}{self.blank()}")

    def mutated(self, text):
        if self.random.random() > 0.1:
            return text
        at = self.random.randrange(len(text) + 1)
        kind = self.random.random()
        if kind < 0.4:
            return text[:at] + self.pick(CHARS) + text[at:]
        if kind < 0.7 and text:
            return text[:at] + text[at + 1:]
        other = self.random.randrange(len(text) + 1)
        return text[:min(at, other)] + text[max(at, other):]


def records(count, seed):
    generator = Generator(seed)
    return [oracle.environment()] + [oracle.parse(generator.override()) for _ in range(count)]
