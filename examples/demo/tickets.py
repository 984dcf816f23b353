"""The task that the demo's job teaches: classify a customer's message and answer it in the shop's format.

`python -m examples.demo.tickets` regenerates the bundled `tickets.jsonl`; the same seed produces the same bytes.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.demo.words import CHINESE, ENGLISH, Words

TICKETS_FILE = Path(__file__).parent / "tickets.jsonl"
SEED, COUNT = 2, 1_800


@dataclass(frozen=True)
class Desk:
    """One kind of message: customers' wordings with placeholders (`{good}`, `{day}`, `{place}`), and the shop's answer."""

    messages: list[str]
    answer: str


DESKS = {
    ENGLISH: [
        Desk(
            [
                "The {good} I ordered did not come on {day}. Where is it?",
                "I am still waiting for my {good}. It was promised for {day}.",
                "It is late: no {good} at my door since {day}.",
            ],
            "DESK: delivery\nSTEP: find the driver\nSAY: Sorry for the wait. It comes tomorrow.",
        ),
        Desk(
            [
                "The {good} came on {day} and it was broken.",
                "Half of the {good} was spilled when I opened it on {day}.",
                "My {good} from {day} is damaged and cannot be used.",
            ],
            "DESK: quality\nSTEP: send a new one\nSAY: Sorry about that. A new one is on the way.",
        ),
        Desk(
            [
                "I asked for {good}, but on {day} you brought something else.",
                "This is not what I ordered. I wanted {good} on {day}.",
                "You gave me the wrong thing on {day}. It should be {good}.",
            ],
            "DESK: packing\nSTEP: change the goods\nSAY: Our mistake. We bring the right one.",
        ),
        Desk(
            [
                "I paid twice for the {good} on {day}. Please give the money back.",
                "Please return my money for the {good} of {day}.",
                "On {day} you took too much money for the {good}.",
            ],
            "DESK: money\nSTEP: pay it back\nSAY: You will have your money in three days.",
        ),
        Desk(
            [
                "I do not want the {good} any more. Please stop the order for {day}.",
                "Cancel the {good} for {day}, please.",
                "Please forget my order of {good}. I am not at home on {day}.",
            ],
            "DESK: orders\nSTEP: cancel it\nSAY: Done. Nothing will be sent.",
        ),
        Desk(
            [
                "When do you open on {day}? I would like to see the {good}.",
                "Is the shop near the {place} open on {day}?",
                "Until what time can I come on {day} to buy {good}?",
            ],
            "DESK: shop\nSTEP: tell the hours\nSAY: We are open from nine to six.",
        ),
        Desk(
            [
                "The {good} of {day} was wonderful. Thank you!",
                "Many thanks for the {good}. My friends loved it on {day}.",
                "I am very happy with the {good}. It was the best of my {day}.",
            ],
            "DESK: friends\nSTEP: thank them\nSAY: How kind! We told the whole team.",
        ),
        Desk(
            [
                "I live near the {place} now. Bring the {good} there on {day}.",
                "New address: please send the {good} to the {place} on {day}.",
                "We have moved to the {place}. Where will my {good} go on {day}?",
            ],
            "DESK: address\nSTEP: write it down\nSAY: Thank you. We have your new address.",
        ),
    ],
    CHINESE: [
        Desk(
            [
                "我订的{good}{day}没有送到，在哪里？",
                "我还在等{good}，说好{day}到的。",
                "太晚了，{day}到现在也没有看见{good}。",
            ],
            "部门：送货\n处理：找司机\n回复：让您久等了，明天送到。",
        ),
        Desk(
            [
                "{day}送来的{good}是坏的。",
                "{day}打开的时候，{good}漏了一半。",
                "{day}的{good}破了，不能用。",
            ],
            "部门：质量\n处理：寄新的\n回复：对不起，新的已经在路上。",
        ),
        Desk(
            [
                "我要的是{good}，{day}你们送来了别的东西。",
                "{day}送错了，我订的是{good}。",
                "这不是我订的，{day}应该送{good}。",
            ],
            "部门：包装\n处理：换货\n回复：是我们的错，马上送对的来。",
        ),
        Desk(
            [
                "{day}的{good}我付了两次钱，请退给我。",
                "请把{day}买{good}的钱还给我。",
                "{day}买{good}，你们多收了钱。",
            ],
            "部门：财务\n处理：退钱\n回复：三天之内您会收到钱。",
        ),
        Desk(
            [
                "我不要{good}了，请取消{day}的订单。",
                "请取消{day}的{good}。",
                "{day}我不在家，{good}不用送了。",
            ],
            "部门：订单\n处理：取消\n回复：好的，不会再送。",
        ),
        Desk(
            [
                "{day}你们几点开门？我想看看{good}。",
                "{place}旁边的店{day}开门吗？",
                "{day}几点以前可以来买{good}？",
            ],
            "部门：店面\n处理：告诉时间\n回复：我们九点到六点开门。",
        ),
        Desk(
            [
                "{day}的{good}太好了，谢谢！",
                "非常感谢你们的{good}，{day}朋友们都喜欢。",
                "我对{good}很满意，{day}真高兴。",
            ],
            "部门：朋友\n处理：感谢\n回复：您太好了，我们告诉了大家。",
        ),
        Desk(
            [
                "我现在住在{place}附近，{day}请把{good}送到那里。",
                "新地址：{day}请把{good}送到{place}。",
                "我们搬到{place}了，{day}的{good}会送到哪里？",
            ],
            "部门：地址\n处理：记下来\n回复：谢谢，新地址已经记下。",
        ),
    ],
}
GREETINGS = {
    ENGLISH: ["Hello, {name} here.", "Good morning!", "Hi, my name is {name}.", "Dear shop,", ""],
    CHINESE: ["你好，我是{name}。", "早上好！", "您好，我叫{name}。", "店家：", ""],
}
TASK = {ENGLISH: "Answer in the form of the shop.", CHINESE: "请按本店的格式回复。"}


def main() -> None:
    """Write the bundled file."""
    with TICKETS_FILE.open("w", encoding="utf-8", newline="\n") as file:
        for row in ticket_rows(SEED, COUNT):
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def ticket_rows(seed: int, count: int) -> Iterator[dict[str, str]]:
    """Yield `count` rows in Alpaca format, alternating English and Chinese. No two messages are the same."""
    rng = random.Random(seed)  # noqa: S311  # not for secrets
    seen: set[str] = set()
    while len(seen) < count:
        words = ENGLISH if len(seen) % 2 == 0 else CHINESE
        desk = rng.choice(DESKS[words])
        message = _message(rng, words, desk)
        if message not in seen:
            seen.add(message)
            yield {"instruction": TASK[words], "input": message, "output": desk.answer}


def _message(rng: random.Random, words: Words, desk: Desk) -> str:
    parts = [rng.choice(GREETINGS[words]), rng.choice(desk.messages)]
    text = (" " if words is ENGLISH else "").join(filter(None, parts))
    return text.format(
        name=rng.choice(words.names),
        good=rng.choice(words.goods)[0],
        day=rng.choice(words.days),
        place=rng.choice(words.places),
    )


if __name__ == "__main__":
    main()
