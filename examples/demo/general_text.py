"""The general text on which the demo's base model is trained: simple everyday scenes in English and Chinese.

A pure function of its seed. It contains no answers in the shop's format: the demo's job teaches those.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from examples.demo import essays
from examples.demo.words import CHINESE, ENGLISH, pick_purchase, plural


@dataclass(frozen=True)
class Row:
    """A row of plain text, or a conversation if it has messages."""

    text: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The content of each message, or the plain text."""
        return [turn["content"] for turn in self.messages] or [self.text]


Scene = tuple[str, list[tuple[str, str]]]
"""A story, and questions about it with their answers."""


def general_rows(seed: int, count: int) -> Iterator[Row]:
    """Yield the essays, then `count` scenes: plain text (`text`) or a conversation about one (`messages`)."""
    rng = random.Random(seed)  # noqa: S311  # not for secrets
    for essay in (essays.ENGLISH + "\n" + essays.CHINESE).splitlines():
        yield Row(text=essay)
    scenes: list[Callable[[random.Random], Scene]] = [
        _english_purchase,
        _chinese_purchase,
        _english_visit,
        _chinese_visit,
    ]
    for number in range(count):
        story, questions = scenes[number % len(scenes)](rng)
        kind = rng.random()
        if kind < 0.1:
            yield Row(text=story)
        elif kind < 0.2:
            yield Row(text=_card(rng))
        else:
            question, answer = rng.choice(questions)
            yield _chat(f"{question}\n{story}", answer)


def _card(rng: random.Random) -> str:
    words, labels, mark = rng.choice(
        [
            (ENGLISH, ("CARD", "colour", "place", "weather"), ": "),
            (CHINESE, ("卡片", "颜色", "地点", "天气"), "："),
        ]
    )
    values = (rng.choice(words.colours), rng.choice(words.places), rng.choice(words.weather))
    lines = [f"{labels[0]} {rng.randint(1, 99)} x {rng.choice(words.animals)}"]
    lines += [f"{label}{mark}{value}" for label, value in zip(labels[1:], values, strict=True)]
    return "\n".join(lines)


def _chat(question: str, answer: str) -> Row:
    return Row(
        messages=[
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    )


def _english_purchase(rng: random.Random) -> Scene:
    who, day, good, paid = pick_purchase(rng, ENGLISH)
    count = rng.randint(1, 12)
    amount = (
        f"{ENGLISH.numbers[count - 1]} {good[1] if count == 1 else plural(good[1])} of {good[0]}"
    )
    home = f"{rng.randint(1, 99)} {rng.choice(ENGLISH.streets)} Street"
    mood, weather = rng.choice(ENGLISH.moods), rng.choice(ENGLISH.weather)
    story = rng.choice(
        [
            f"On {day} {who} went to the market and bought {amount}. The day was {weather}, and {who} paid {paid[1]}. Then {who} went home to {home}.",
            f"{who} lives at {home}. It was {weather} on {day}, so {who} was {mood} and bought {amount}. {who} paid {paid[1]}.",
            f"The shop sold {amount} to {who} on {day}. {who} paid {paid[1]} and carried everything to {home}. It was a {weather} day.",
        ]
    )
    return story, [
        ("What did this person buy?", f"{who} bought {amount}."),
        ("Who bought something?", f"{who} did."),
        ("How did they pay?", f"{who} paid {paid[1]}."),
        ("Where is home?", f"{who} lives at {home}."),
        ("When was it?", f"It was on {day}."),
        ("What was the weather like?", f"It was {weather}."),
        ("Please tell me everything.", f"{who}, {home}, {amount}, {day}, {paid[1]}."),
    ]


def _chinese_purchase(rng: random.Random) -> Scene:
    who, day, good, paid = pick_purchase(rng, CHINESE)
    amount = f"{rng.choice(CHINESE.numbers)}{good[1]}{good[0]}"
    home = f"{rng.choice(CHINESE.streets)}路{rng.randint(1, 99)}号"
    mood, weather = rng.choice(CHINESE.moods), rng.choice(CHINESE.weather)
    story = rng.choice(
        [
            f"{day}{who}去市场买了{amount}。那天天气{weather}，{who}{paid[1]}付款，然后回到{home}的家。",
            f"{who}住在{home}。{day}天气{weather}，{who}很{mood}，买了{amount}，{paid[1]}付款。",
            f"商店在{day}卖给{who}{amount}。{who}{paid[1]}付款，把东西带回{home}。那天天气{weather}。",
        ]
    )
    return story, [
        ("这个人买了什么？", f"{who}买了{amount}。"),
        ("谁买了东西？", f"是{who}。"),
        ("怎么付款的？", f"{who}{paid[1]}付款。"),
        ("家在哪里？", f"{who}住在{home}。"),
        ("是哪一天？", f"是{day}。"),
        ("天气怎么样？", f"天气{weather}。"),
        ("请把这些都告诉我。", f"{who}，{home}，{amount}，{day}，{paid[1]}。"),
    ]


def _english_visit(rng: random.Random) -> Scene:
    who, friend = rng.sample(ENGLISH.names, 2)
    job, place, mood = (
        rng.choice(ENGLISH.jobs),
        rng.choice(ENGLISH.places),
        rng.choice(ENGLISH.moods),
    )
    colour, animal = rng.choice(ENGLISH.colours), rng.choice(ENGLISH.animals)
    story = rng.choice(
        [
            f"{who} works as a {job}. Near the {place} {who} met {friend}, who had a {colour} {animal}. Both were {mood}.",
            f"In front of the {place} stood a {colour} {animal}. {who}, the {job}, asked {friend} about it. {friend} was {mood}.",
            f"{friend} has a {colour} {animal} and takes it to the {place} every day. {who} is a {job} and often {mood}.",
        ]
    )
    return story, [
        ("What is the animal?", f"It is a {colour} {animal}."),
        ("What work is named?", f"{who} is a {job}."),
        ("Where is it?", f"It is at the {place}."),
        ("Which names are in the text?", f"{who} and {friend}."),
        ("How do they feel?", f"They feel {mood}."),
    ]


def _chinese_visit(rng: random.Random) -> Scene:
    who, friend = rng.sample(CHINESE.names, 2)
    job, place, mood = (
        rng.choice(CHINESE.jobs),
        rng.choice(CHINESE.places),
        rng.choice(CHINESE.moods),
    )
    colour, animal = rng.choice(CHINESE.colours), rng.choice(CHINESE.animals)
    story = rng.choice(
        [
            f"{who}的工作是{job}。{who}在{place}附近遇到{friend}，{friend}带着一只{colour}的{animal}。他们都很{mood}。",
            f"{place}前面有一只{colour}的{animal}。{job}{who}向{friend}问起它。{friend}很{mood}。",
            f"{friend}有一只{colour}的{animal}，每天带它去{place}。{who}是{job}，常常很{mood}。",
        ]
    )
    return story, [
        ("是什么动物？", f"是一只{colour}的{animal}。"),
        ("说到了什么工作？", f"{who}是{job}。"),
        ("在哪里？", f"在{place}。"),
        ("里面有哪些名字？", f"{who}和{friend}。"),
        ("他们心情怎么样？", f"他们很{mood}。"),
    ]
