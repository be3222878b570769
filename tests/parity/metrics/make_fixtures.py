"""Records reference values of the text metrics: python make_fixtures.py > text_metrics.json

Needs rouge_score 0.1.2, nltk 3.9 and sacrebleu 2.x. SARI and the ROUGE-L of the package rouge 1.0.1 are written here
from their definitions, with exact fractions where the definition has quotients.
"""

import difflib
import json
import random
import re
import string
import sys
import warnings
from collections import Counter
from fractions import Fraction

import nltk
import sacrebleu
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import sentence_bleu
from rouge_score import rouge_scorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

warnings.filterwarnings("ignore")

HAND = [
    ("the cat sat on the mat", ["the cat sat on the mat"], "a cat was sitting on the mat"),
    ("The cat is on the mat.", ["There is a cat on the mat.", "A cat sits on the mat!"], "The cat is lying on the mat."),
    ("", ["something"], "something else"),
    (".", ["a b."], "x"),
    (" . a", [" .a"], "a ."),
    ("B", ["b"], "B or b"),
    ("  Positive. ", ["positive"], "is it positive?"),
    ("Science & Technology", ["science technology"], "science"),
    ("Die Straße über den Fluß ist größer als früher.", ["Die Strasse über den Fluss ist grösser als vorher."],
     "Die alte Straße über den Fluß war nicht so groß wie die neue."),
    ("ÄRZTE warnen: 3,5 Prozent mehr", ["Ärzte warnen vor 3,5 Prozent mehr Fällen"], "Ärzte warnen laut Studie vor 3,5%."),
    ("苹果公司支持新政策", ["苹果公司反对新政策"], "苹果公司对新政策的态度"),
    ("東京 is big", ["東京は big"], "東京"),
    ("walking walked walks walker", ["walk walking"], "he walks"),
    ("running quickly through generalizations", ["runs quick generalization"], "run"),
    ("It costs 1,000.50 dollars-or so", ["It costs 1,000.50 dollars or so."], "The price is 1,000.50 dollars, or so."),
    ("a &quot;b&amp;c&quot; <skipped> d-\ne", ["a \"b&c\" de"], "a &lt;b&gt; c"),
    ("2-3 3- 4,a .5 5. a,b", ["2 - 3 3 - 4 , a . 5"], "2-3,4"),
    ("one. two. three. two", ["three. one two. four"], "one two three four"),
    ("a b c d e f g", ["a c e g b d f"], "g f e d c b a"),
    ("x" * 250 + "yz", ["x" * 240 + "zy" + "x" * 5], "x"),
    ("İstanbul \u212a K", ["i̇stanbul k k"], "istanbul"),
    ("line\none\ttwo\u3000three", ["line one two three"], "line one"),
    ("repeat repeat repeat the the", ["repeat the the the"], "the repeat"),
    ("naïve café", ["naive cafe", "naïve café au lait"], "café"),
]
WORDS = ("the a of to in house river bank banks quickly council meeting approved approves ordinance relating "
         "utilities authorizing agreement, agreement. 2021 3.5% city's re-elected Zürich größer for and not is are").split()


def sentence(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 24)))


def rows():
    out = [{"prediction": p, "references": r, "source": s} for p, r, s in HAND]
    rng = random.Random(7)
    for _ in range(60):
        source = sentence(rng)
        words = source.split()
        rng.shuffle(words)
        prediction = " ".join(words[: rng.randint(0, len(words))])
        references = [sentence(rng) if rng.random() < 0.3 else " ".join(source.split()[:: rng.randint(1, 2)])]
        if rng.random() < 0.4:
            references.append(sentence(rng))
        out.append({"prediction": prediction, "references": references, "source": source})
    return out


def rouge(kind, stem):
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=stem)
    return lambda row: max(scorer.score(target=r, prediction=row["prediction"])[kind].fmeasure for r in row["references"])


def bleu(weights):
    def tokens(text):
        return [t for t in re.split(r"\s|\.", text) if t]

    def score(row):
        if not row["prediction"]:
            return 0.0
        return float(sentence_bleu([tokens(r) for r in row["references"]], tokens(row["prediction"]), weights))

    return score


def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def share(part, whole):
    return Fraction(part) / whole if whole else Fraction(1)


def f1(a, b):
    return 2 * a * b / (a + b) if a + b else Fraction(0)


def sari(row):
    tokenizer = Tokenizer13a()

    def tokens(text):
        return tokenizer(text.lower()).split(" ")

    source, output = tokens(row["source"]), tokens(row["prediction"])
    references = [tokens(r) for r in row["references"]]
    k, total = len(references), Fraction(0)
    for n in (1, 2, 3, 4):
        s = Counter({g: c * k for g, c in ngrams(source, n).items()})
        o = Counter({g: c * k for g, c in ngrams(output, n).items()})
        r = sum((ngrams(ref, n) for ref in references), Counter())
        kept, good, should = s & o, s & o & r, s & r
        keep = f1(share(sum(Fraction(good[g], kept[g]) for g in good), len(kept)),
                  share(sum(good.values()), sum(should.values())))
        gone = s - o
        delete = share(sum(Fraction(c, gone[g]) for g, c in (gone - r).items()), len(gone))
        added, wanted = set(o) - set(s), set(r) - set(s)
        add = f1(share(len(added & wanted), len(added)), share(len(added & wanted), len(wanted)))
        total += (keep + delete + add) / 12
    return float(total)


def lcs_words(x, y):
    table = [[0] * (len(y) + 1) for _ in range(len(x) + 1)]
    for i, a in enumerate(x, 1):
        for j, b in enumerate(y, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if a == b else max(table[i - 1][j], table[i][j - 1])
    i, j, words = len(x), len(y), set()
    while i and j:
        if x[i - 1] == y[j - 1]:
            words.add(x[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words


def pltrdy(hypothesis, reference):
    def sentences(text):
        return [" ".join(s.split()).split(" ") for s in text.split(".") if s]

    h, r = sentences(hypothesis), sentences(reference)
    if not h or not r:
        return 0.0
    common = set().union(*(lcs_words(a, b) for a in r for b in h))
    p = len(common) / len(set().union(*h))
    q = len(common) / len(set().union(*r))
    return 2.0 * p * q / (p + q + 1e-8)


def normalised(text):
    return " ".join("".join(c for c in text.lower() if c not in string.punctuation).split())


def best(f):
    return lambda row: float(max(f(row["prediction"], r) for r in row["references"]))


METRICS = {
    "accuracy": best(lambda p, r: p.strip() == r.strip()),
    "exact_match": best(lambda p, r: normalised(p) == normalised(r)),
    "exact_match.lower": best(lambda p, r: p.strip().lower() == r.strip().lower()),
    "rouge1": rouge("rouge1", False),
    "rouge1.stem": rouge("rouge1", True),
    "rougeL": rouge("rougeL", False),
    "rougeL.stem": rouge("rougeL", True),
    "rougeL.pltrdy": best(pltrdy),
    "rougeL.trace": best(lambda p, r: pltrdy(r, p)),
    "bleu1": bleu((1.0,)),
    "bleu4": bleu((0.25,) * 4),
    "sari": sari,
    "similarity": best(lambda p, r: difflib.SequenceMatcher(None, p, r).ratio()),
}


def stems():
    suffixes = """s es ies sses ed ied eed ing y ly ly ational tional enci anci izer bli alli entli eli ousli ization
        ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al
        ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll le""".split()
    roots = "a by fl tr hop fail controll relat rate geo hopp tann fizz troubl enjo sk di".split()
    words = [r + s for r in roots for s in suffixes]
    words += "skies dying news innings cannings proceed succeed flies died spied feed agreed bled y12th 3rds".split()
    words += "generalizations oscillators conformably triplicate electricity adjustment caresses ponies".split()
    words = sorted({w for w in words if len(w) > 1})
    stemmer = PorterStemmer()
    return {w: stemmer.stem(w) for w in words}


def main():
    data = rows()
    out = {
        "made_with": {"rouge_score": "0.1.2", "nltk": nltk.__version__, "sacrebleu": sacrebleu.__version__},
        "rows": data,
        "scores": {name: [f(row) for row in data] for name, f in METRICS.items()},
        "stems": stems(),
    }
    json.dump(out, sys.stdout, ensure_ascii=False, indent=0)
    print()


main()
