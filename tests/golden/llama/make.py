#!/usr/bin/env python3
"""What llama.cpp says:  make.py MODEL.gguf > smollm2.json

Needs llama-cpp-python (0.3.36 made the file here). Each prompt is put into the model's own chat template; the
answer is greedy, 64 tokens at most.
"""
import json, sys
import numpy as np
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

PROMPTS = [
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "How many days are there in a leap year, and why?",
    "Explain in two sentences how a kettle works.",
    "List three uses of baking soda.",
    "Translate 'good morning' into Spanish, German and Italian.",
    "What is 17 plus 25?",
    "Tell me a story about a robot that is afraid of the dark.",
    "Who wrote Romeo and Juliet?",
    "Naïve café – what does 'déjà vu' mean? 😀",
]

model = Llama(sys.argv[1], n_ctx=1024, n_threads=2, n_threads_batch=2, verbose=False)
meta = model.metadata
chat = Jinja2ChatFormatter(template=meta["tokenizer.chat_template"], eos_token="", bos_token="")
out = []
for prompt in PROMPTS:
    text = chat(messages=[{"role": "user", "content": prompt}]).prompt
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    model.reset()
    model.eval(tokens)
    answer = []
    for _ in range(64):
        logits = np.ctypeslib.as_array(model._ctx.get_logits(), shape=(model.n_vocab(),))
        answer.append(int(logits.argmax()))
        if answer[-1] == model.token_eos():
            break
        model.eval(answer[-1:])
    said = model.detokenize([t for t in answer if t != model.token_eos()]).decode(errors="replace")
    out.append(dict(prompt=prompt, prompt_tokens=tokens, tokens=answer, text=said))
print("[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in out) + "\n]")
