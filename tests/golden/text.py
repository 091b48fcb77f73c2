#!/usr/bin/env python3
"""Writes text.json: what OpenAI's own tokenizer makes of some texts.

    pip download --no-deps --no-binary openai-whisper openai-whisper==20250625   # and unpack it
    pip install tiktoken==0.14.0
    python tests/golden/text.py openai_whisper-20250625/whisper > tests/golden/text.json

Only whisper/tokenizer.py and its vocabularies are used, so PyTorch is not needed. The English
vocabulary is that of the .en models, the multilingual one that of all others.
"""

import importlib.util
import json
import sys

TEXTS = [
    "",
    " ",
    " Hello, world!",
    "Turn on the kitchen lights.",
    " it's we'll they've I'm you'd he's can't 'tis 'S",
    " Mr. O'Neill's 25 °C at 7:30 a.m. costs $1,299.99 (20% off)",
    "a   b  \n\n c\t\td \r\n e   ",
    "\u00a0non\u2003breaking\u3000blank ",
    "   leading and trailing   ",
    " antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    " ---- .... !!!??? ((([[[ ♪♪♪ ♩♪♫ <<>> <|endoftext|> <|0.00|>",
    "Größe, Straße, naïve café, façade, Ærøskøbing, Łódź, İstanbul",
    "日本語の文章です。今日は天気がいい。",
    "中文普通话，你好！𠮷野家 繁體字",
    "한국어 문장입니다. 안녕하세요",
    "हिन्दी में एक वाक्य, ௧௨௩ தமிழ் বাংলা",
    "สวัสดีครับ ภาษาไทย ລາວ မြန်မာ",
    "Привет, мир! Українська мова — їжак",
    "مرحبا بالعالم، ١٢٣ שלום עולם",
    "Ελληνικά άλφα ώμέγα",
    "emoji 😀👍🏽 family 👨‍👩‍👧 flag 🇩🇪 ②Ⅷ½ ¼",
    "e\u0301 combining, zero\u200bwidth, bom\ufeff, nul\u0000end",
    "ⓐⓑ 🄰 circled letters are signs, ªº are letters, ʰ too",
    "x" * 130 + " " + "=" * 90 + " " + "ab" * 40,
    "1234567890 3.14159 1e-9 0x7f २०२४",
]
SENTENCES = [
    ("en", " Turn on the kitchen lights, it's 25% (or \"more\")... isn't it? #1"),
    ("de", " Größe und Straße – naïve Übung 😀!"),
    ("ja", "日本語の文章です。今日は𠮷野家。"),
    ("zh", "中文普通话，hello 你好！"),
    ("th", "สวัสดีครับ ภาษาไทย"),
    ("hi", "हिन्दी में एक वाक्य"),
]


def main():
    spec = importlib.util.spec_from_file_location("tokenizer", sys.argv[1] + "/tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = {}
    for name, multilingual in [("english", False), ("multilingual", True)]:
        tokenizer = module.get_tokenizer(multilingual, num_languages=99)
        special = {
            "eot": tokenizer.eot,
            "sot": tokenizer.sot,
            "translate": tokenizer.translate,
            "transcribe": tokenizer.transcribe,
            "sot_lm": tokenizer.sot_lm,
            "sot_prev": tokenizer.sot_prev,
            "no_speech": tokenizer.no_speech,
            "no_timestamps": tokenizer.no_timestamps,
            "timestamp_begin": tokenizer.timestamp_begin,
            "language_begin": tokenizer.to_language_token("en"),
            "last_language": tokenizer.to_language_token("su"),
        }
        words = []
        for language, text in SENTENCES:
            tokenizer.language = language
            ids = tokenizer.encode(text)
            split, tokens = tokenizer.split_to_word_tokens(ids)
            sizes = [len(t) for t in tokens]
            words.append({"language": language, "ids": ids, "words": split, "sizes": sizes})
        out[name] = {
            "special": special,
            "non_speech": list(tokenizer.non_speech_tokens),
            "texts": [{"text": t, "ids": tokenizer.encoding.encode_ordinary(t)} for t in TEXTS],
            "words": words,
        }
    rows = []
    for name, part in out.items():
        lines = []
        for key, value in part.items():
            if isinstance(value, list) and isinstance(value[0], dict):
                items = ",\n".join("   " + json.dumps(v, ensure_ascii=True) for v in value)
                lines.append(f'  "{key}": [\n{items}\n  ]')
            else:
                lines.append(f'  "{key}": {json.dumps(value)}')
        rows.append(f' "{name}": {{\n' + ",\n".join(lines) + "\n }")
    print("{\n" + ",\n".join(rows) + "\n}")


main()
