"""Several turns: each prompt is asked with the prompts and replies before it."""

from bot import Mixture

with Mixture(demo=True, system="Answer in one paragraph.") as moa:
    chat = moa.chat()
    for prompt in ("How much is 17 * 23?", "And how much is that plus 9?"):
        print(">>>", prompt)
        print(chat.ask(prompt).reply)
        print()
    print(len(chat.history), "messages")
