"""Own sentences in several languages and scripts, and texts that try every rule of the tokenizers."""
import random

SENTENCES = [
    "The committee met on Tuesday and agreed that rates should stay where they are.",
    "She didn't answer, but they'll ask again; we've heard it's worth $1,234.50 or more.",
    "A model that learns one task after another may forget the first of them.",
    "Answer the question: which of the four numbers, 17, 23, 42 or 1001, is prime?",
    "Der Zug nach München fährt um 18:05 Uhr von Gleis 7 ab, sagte der Schaffner.",
    "Die Straße ist gesperrt; für Fußgänger gibt es eine Umleitung über die Brücke.",
    "Ärzte, Übersetzerinnen und Öffentlichkeit waren sich darüber einig.",
    "Le garçon a mangé une crêpe à l'école, puis il est rentré chez lui.",
    "El niño comió piñas; ¿quién sabe cuántas? ¡Muchas!",
    "委员会星期二开会，一致认为利率应当保持不变。",
    "请根据以下文本回答问题，并从四个选项中选择一项正确的答案。",
    "列车十八点零五分从七号站台开往慕尼黑。",
    "学习新任务的模型可能会忘记以前学过的内容。",
    "委員会は火曜日に会合を開き、金利を据え置くことで合意した。",
    "Комитет собрался во вторник и решил оставить ставку без изменений.",
    "اجتمعت اللجنة يوم الثلاثاء وقررت الإبقاء على سعر الفائدة.",
    "समिति मंगलवार को मिली और दर को वैसा ही रखने पर सहमत हुई।",
    "위원회는 화요일에 만나 금리를 그대로 두기로 했다.",
    "def add(a, b):\n\treturn a + b  # 2 + 2 == 4",
    "x = [i**2 for i in range(10) if i % 3 != 0]",
]

TRICKY = [
    "", " ", "  ", "\n", "\t", " a", "a ", "  two  blanks  ", "line\nbreak\r\nand\ttab", "\u00a0no\u2009break\u3000",
    "next\u0085line", "\u2028sep\u2029", "zero\u200bwidth\u200d\ufeff", "a" * 70, "哈" * 40, "word " * 20,
    "caf\u00e9 cafe\u0301", "A\u030a \u212b \u00c5", "\ufb01ne \ufb03 \u2460\u2461 \u00bd \u00b2", "\uff21\uff22\uff11\uff12",
    "\u1100\u1161\u11a8 \uac01 \uac00\u11a8", "\u0915\u094d\u0937\u093f", "e\u0301\u0323 e\u0323\u0301", "\u0130I\u0131i \u00df\u1e9e",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd", "\U00020000\U0002f800 \uf900",
    "\u2581low\u2581 block \u2581\u2581", "<s>", "</s> x", "a<unk>b", "<pad>", "<extra_id_0> and <extra_id_99><extra_id_7>",
    "<0x0A> <0xE4>", "<|endoftext|>", "x <|endoftext|> y", "<mask> a <mask>b c<mask> <mask>", "<tool>tool <tool> x<tool>y",
    "<Note> <note> <NOTE>", "<s> <s>  text </s>", "It's IT'S it'S 'tis 'LL we'LL \u2019s '\u017fx", "1234567 12 3.14 1,000,000",
    "\u0661\u0662\u0663 \u09e7\u09e8 \u4e00\u4e8c", "!!! ... ?! -- __ ``''", "\u00bfqu\u00e9? \u00a1s\u00ed! \u300c\u5f15\u7528\u300d",
    "\u1c89\ua7cb\U00010d50 \U0001ccf0", "\x01\x02\x1f\x7f", "a\u0000b", "\U0010ffff\ue000\uffff", "tab\tin\tbetween", "\r\r\n\n\r",
    "ends with blank ", "  \n  \n mixed \n", "\u0301starts with a mark", "snow\u2603man \u2764\ufe0f", "\u0f0b\u0f40\u0f42\u0e01\u0e33",
]


def training_text(seed=3, lines=2500):
    """Lines of one to three sentences with changing numbers."""
    draw = random.Random(seed)
    text = []
    for _ in range(lines):
        line = " ".join(draw.sample(SENTENCES, draw.randint(1, 3)))
        text.append("".join(str(draw.randrange(10)) if c.isdigit() and c.isascii() else c for c in line))
    return [part for line in text for part in line.split("\n")]


def random_line(draw, snippets=()):
    """A line of characters from all of Unicode, more of some ranges than of others, between snippets."""
    pools = [
        lambda: chr(draw.randrange(0x20, 0x7F)),
        lambda: chr(draw.randrange(0xA0, 0x600)),
        lambda: chr(draw.randrange(0x4E00, 0x9FFF)),
        lambda: draw.choice(" \t\n\r\u00a0\u3000\u2028\u0085\u200b"),
        lambda: chr(draw.choice([*range(0x300, 0x370), *range(0x900, 0xD00)])),
        lambda: chr(draw.choice([c for c in (draw.randrange(0x110000), 0x41) if not 0xD800 <= c <= 0xDFFF][:1])),
        lambda: draw.choice(list(snippets) or ["."]),
    ]
    weights = [draw.random() for _ in pools]
    return "".join(draw.choices(pools, weights)[0]() for _ in range(draw.randrange(40)))


def all_cases(seed=5, count=30):
    draw = random.Random(seed)
    return SENTENCES + TRICKY + [random_line(draw, TRICKY) for _ in range(count)]
