"""Random YAML documents, scalars and interpolations, well-formed and not."""
import random

import oracle

SCALARS = ["1", "-0", "010", "0x1F", "0b11", "1__0", "1e-3", "1.", ".5", "+.5", "-.5", "1.0e+3", "1_0.5", "inf", ".inf", "-.inf", "+.INF",
           ".nan", ".NaN", "nan", "true", "TRUE", "tRUE", "yes", "Yes", "no", "on", "Off", "y", "n", "Y", "~", "null", "Null", "NULL",
           "nULL", "2020-01-01", "2020-1-1", "2020-01-01 10:00:00", "2020-01-01T1:00:00.5Z", "12:30:45", "12:30", "1:60", "1:30.5",
           "0:30.5", "3.14.15", "1e", "1e5x", "1e5", "1E5", "-1e+5", "0.1e1", ".1e3", ".1e+3", "1.5e3", "1.5e-3", "0x", "0x_", "0b_", "0_",
           "08", "09.5", "00", "0o17", "1_000", "_1", "1_", "=", "<<", "???", "a", "abc def", "a:b", "a#b", "a #b", "#c", "-", "--", "-a",
           "- a", "?", "?a", ":", ":a", "a:", "a: b", "@x", "%x", "`x", "!", "! a", "!!str 1", "!!int \"3\"", "!!float 1", "!!bool yes",
           "!!null x", "!!int x", "!foo x", "!!set {a}", "&a b", "*a", "|", ">", "''", "'it''s'", "\"a\\nb\"", "\"\\x41\\u00e9\"",
           "\"a\\q\"", "'a", "\"a", "é", "日本", "\U0001F600", "a\tb", "\ta", "a ", "[", "]", "{", "}", ",", "[]", "{}", "[1, 2]", "[1, 2,]",
           "[, 1]", "{a: 1, b: }", "{a}", "{a: 1,}", "{a:1}", "{\"a\":1}", "[a: b]", "[? a : b]", "[a, [b, {c: d}]]", "{a: ???}",
           "\"${b}\"", "${b}", "x${", "${}", "a, b", "a]b", "a}b", "it's", "1.5.", "+1", "+-1", "0.", "0e0", "-", "---", "...", "\"\\/\"",
           "123456789012345678901234567890", "1e400", "9007199254740993.0", "a\u00a0b", "\u00a0", "'x\ty'", "!!python/none", "!!binary aGk="]
KEYS = ["a", "b", "c d", "1", "1.5", "true", "null", "~", "'q'", "\"d\"", "y", "on", "é", "? x", "[k]", "{k: v}", "!!str 1", "<<", "=",
        "a.b", "0x1", "-", "a-b", "''", "long " * 30, "x" * 125, "#k", "&k k", "*k", "1_0", "2020-01-01"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def text_block(self, indent):
        pad = " " * indent
        lines = [self.pick(["", "x", " y", "a b", "- c", "#d", "e: f", "\tg", "  "]) for _ in range(self.random.randrange(1, 5))]
        mark = self.pick("|>") + self.pick(["", "", "-", "+", "2", "1-", "+1", " # c"])
        return mark + "\n" + "\n".join(pad + line if line else "" for line in lines)

    def plain_lines(self, indent):
        words = [self.pick(["x", "y z", "1", "", "a: b", "# c", "- d"]) for _ in range(self.random.randrange(1, 4))]
        return ("\n" + " " * indent).join(words)

    def long_text(self):
        word = self.pick(["word", "é", "it's", "a:b", "#x", "\\\"q\\\""])
        text = " ".join(word + str(i) * self.random.randrange(4) for i in range(self.random.randrange(5, 40)))
        return self.pick(['"%s"', "'%s'", "%s"]) % text.replace("'", "''")

    def value(self, indent, depth):
        kind = self.random.random()
        if depth > 2 or kind < 0.5:
            return " " + self.pick(SCALARS)
        if kind < 0.58:
            return " " + self.text_block(indent + 1)
        if kind < 0.64:
            return " " + self.plain_lines(indent + self.pick([1, 1, 2, 0]))
        if kind < 0.70:
            return " " + self.long_text()
        if kind < 0.74:
            return " " + self.pick(["&a ", "&b ", "!!map ", "!!seq ", "*a", "*b", ""]) + self.pick(SCALARS)
        if kind < 0.88:
            return "\n" + self.mapping(indent + self.pick([2, 2, 2, 1, 4]), depth + 1)
        return "\n" + self.sequence(indent + self.pick([0, 2, 2]), depth + 1)

    def mapping(self, indent, depth):
        lines = []
        for i in range(self.random.randrange(1, 4)):
            key = self.pick(KEYS) if self.random.random() < 0.25 else f"k{i}"
            if self.random.random() < 0.1:
                lines.append(" " * indent + self.pick(["<<: *a", "<<: [*a, *b]", "# comment", "", "<<: {m: 1}", "&a k: {x: 1, y: 2}"]))
            lines.append(" " * indent + key + self.pick([":", ":", ":", ":", " :", ":\t"]) + self.value(indent, depth))
        return "\n".join(lines)

    def sequence(self, indent, depth):
        return "\n".join(" " * indent + "-" + self.value(indent + 1, depth) for _ in range(self.random.randrange(1, 4)))

    def document(self):
        head = self.pick([""] * 8 + ["---\n", "%YAML 1.1\n---\n", "# c\n", "\n", "\ufeff", "%TAG ! tag:yaml.org,2002:\n---\n"])
        body = self.mapping(0, 0) if self.random.random() < 0.85 else self.sequence(0, 0)
        tail = self.pick(["\n"] * 8 + ["", "\n...\n", "\n---\n", "\n---\nb: 1\n", "\n# end", "\n\n"])
        text = head + body + tail
        if self.random.random() < 0.12:
            at = self.random.randrange(len(text) + 1)
            text = text[:at] + self.pick(list(" \t\n:-#'\"{}[],&*!|>%@\x07\x85\u2028") + ["\r\n"]) + text[at + self.pick([0, 1]):]
        return text


class TextGenerator(Generator):
    """Maps whose keys and values are hard texts, written with escapes: what the dumper makes of them is compared."""

    PIECES = ["a", "1", " ", "  ", "'", '"', "\\", "\n", ":", ": ", "#", " #", "-", "- ", "é", "\t", "yes", "1e5", ".", "0x1", "~", "{", "[",
              "&", "*", "!", "|", "\u2028", "\x85", "\U0001F600", "\ufeff", "\x07", "\xa0", "=", "<<", "---", "...", "?", "word ", "long" * 9,
              "2020-01-01", ",", "%", "@", "`", "\r", "\x7f", "\ud7ff", "\ufffe", "\u2029", "\0"]

    def text(self):
        pieces = self.PIECES if self.chance(0.5) else self.PIECES[:20]
        return "".join(self.pick(pieces) for _ in range(self.pick([0, 1, 2, 3, 5, 8, 40])))

    def chance(self, p):
        return self.random.random() < p

    def quoted(self):
        escaped = "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08X}" for c in self.text())
        return f'"{escaped}"'

    def document(self):
        body = f"a: {self.quoted()}\n"
        if self.chance(0.5):
            body += f"b:\n- {self.quoted()}\n- - {self.quoted()}\n"
        if self.chance(0.5):
            body += f"c:\n  ? {self.quoted()}\n  : {self.quoted()}\n"
        return body


class InterpolationGenerator(Generator):
    PARTS = ["${b}", "${c.d}", "${.b}", "${..b}", "${c[d]}", "${[c].d}", "${l.0}", "${l[1]}", "${l.-1}", "${l.9}", "${c.${k}}", "${nope}", "${}",
             "${b", "$", "$$", "\\${b}", "\\\\${b}", "\\\\\\${b}", "\\", "x", " ", "'", '"', "{", "}", "é", "${ b }", "${m}", "${n}", "${f}",
             "${t}", "${c}", "${l}", "${a}", "${self}", "${u.v}", "${oc.env:NOPE_X,1}", "${oc.env:NOPE_X,null}", "${oc.env:NOPE_X}",
             "${oc.decode:'[1, x, {y: 2}]'}", "${oc.decode:1.5}", "${oc.decode:null}", "${oc.decode:b}", "${oc.decode:'${b}'}",
             "${oc.select:b}", "${oc.select:zz,7}", "${oc.select:m,8}", "${oc.select:zz}", "${oc.select:b.x,9}", "${oc.select:.b}",
             "${oc.create:{p: 1, q: [2]}}", "${oc.create:'x: 1'}", "${oc.dict.keys:c}", "${oc.dict.values:c}", "${oc.dict.keys:b}",
             "${oc.deprecated:b}", "${foo:1}", "${oc.env}", "${b:}", "${b.}", "${.}", "${..}", "${oc.decode:a,b}", "${oc.select:'b'}",
             "${oc.select:\"c.d\"}", "${oc.decode:\"'x'\"}", "${oc.env:NOPE_X,\"a b\"}", "${oc.env:NOPE_X, a b }", "${oc.env:NOPE_X,}",
             "${oc.env:NOPE_X,${b}}", "${oc.env:NOPE_X,[1,${b}]}", "${oc.env:NOPE_X,{x: ${b}}}", "${oc.env:NOPE_X,1e-5}", "${oc.env:NOPE_X,TRUE}",
             "${oc.env:NOPE_X,a\\,b}", "${oc.env:NOPE_X,a:b/c}", "${oc.env:NOPE_X,'it\\'s'}", "${e.r}", "${e}", "${deep.x.y}", "${z}", "${w}", "\\'",
             "${${k}}", "${oc.${k2}:b}", "${oc.decode:${q}}", "${oc.select:${k}}", "${c.d }", "${c .d}", "${'b'}", "${1}", "${b-c}", "${b.c-d}"]
    BASE = """b: 1
c: {d: two, e: [1, null], f: "${.d}!"}
k: d
k2: select
l: [7, "${b}"]
m: ???
n: null
f: 1.0e-05
t: true
q: "'x'"
self: "${self}"
u: "${c}"
e: {r: "${..b}", s: "${.r}"}
deep: "${e2}"
e2: {x: {y: "${c.d}"}}
z: "${w}"
w: "${z}"
"""

    def document(self):
        text = "".join(self.pick(self.PARTS) for _ in range(self.pick([1, 1, 1, 2, 2, 3])))
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.BASE}a: "{quoted}"\n'


def records(count, seed):
    documents, texts, values = Generator(seed), TextGenerator(seed), InterpolationGenerator(seed)
    result = [oracle.environment()]
    result += [oracle.yaml_document(documents.document()) for _ in range(count)]
    result += [oracle.yaml_document(texts.document()) for _ in range(count)]
    result += [oracle.yaml_scalar(documents.pick(SCALARS)) for _ in range(count // 4)]
    result += [oracle.interpolation(values.document(), values.pick(["a", "a", "a", "u.d", "c", "l", "e", "deep.x.y", "z"]))
               for _ in range(count)]
    return result
