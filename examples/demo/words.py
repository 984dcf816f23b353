"""The vocabulary of the bundled texts, in English and Chinese."""

# ruff: noqa: SIM905  (lists of words are easier to read as one string)

import random
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Words:
    """One language's words. For days and payments, the same index has the same meaning in both languages."""

    names: list[str]
    streets: list[str]
    days: list[str]
    goods: list[tuple[str, str]]
    """An item and its unit."""
    payments: list[tuple[str, str]]
    """A payment method, and the words for it in a sentence."""
    numbers: list[str]
    """The numbers 1 to 12, as written before a unit."""
    colours: list[str]
    animals: list[str]
    places: list[str]
    weather: list[str]
    moods: list[str]
    jobs: list[str]


ENGLISH = Words(
    names="Mia Noah Lily Owen Emma Hugo Ruth Leo Clara Felix Nina Oscar Ivy Tom Alice Ben Rosa Max "
    "Vera Paul Jane Adam Lucy Sam".split(),
    streets="Lake Hill Mill Rose Park Bridge Church Garden River Station Maple School".split(),
    days="Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    goods=[
        ("green tea", "box"),
        ("black tea", "box"),
        ("chocolate", "box"),
        ("rice", "bag"),
        ("flour", "bag"),
        ("coffee", "bag"),
        ("apples", "bag"),
        ("potatoes", "bag"),
        ("milk", "bottle"),
        ("olive oil", "bottle"),
        ("apple juice", "bottle"),
        ("honey", "jar"),
        ("plum jam", "jar"),
        ("white bread", "loaf"),
        ("rye bread", "loaf"),
        ("candles", "pack"),
        ("paper", "pack"),
        ("noodles", "pack"),
        ("soap", "bar"),
        ("tomato soup", "tin"),
    ],
    payments=[
        ("cash", "in cash"),
        ("card", "by card"),
        ("transfer", "by transfer"),
        ("phone", "by phone"),
    ],
    numbers="one two three four five six seven eight nine ten eleven twelve".split(),
    colours="red blue green white black yellow brown grey".split(),
    animals="cat dog horse bird fish cow duck sheep fox goat".split(),
    places="market|station|library|school|river|garden|bakery|harbour|park|museum".split("|"),
    weather="sunny rainy windy cloudy cold warm snowy foggy".split(),
    moods="happy tired quiet proud calm busy".split(),
    jobs="baker teacher doctor farmer driver painter cook sailor".split(),
)

CHINESE = Words(
    names="小林 小陈 小王 小李 小张 小刘 老赵 老周 阿明 阿梅 阿华 阿芳 李娜 王伟 张敏 刘洋 陈静 杨帆 "
    "赵磊 黄丽 周杰 吴霞 徐强 孙燕".split(),
    streets="湖滨 山前 水磨 玫瑰 公园 石桥 教堂 花园 河边 车站 枫林 学府".split(),
    days="周一 周二 周三 周四 周五 周六 周日".split(),
    goods=[
        ("绿茶", "盒"),
        ("红茶", "盒"),
        ("巧克力", "盒"),
        ("大米", "袋"),
        ("面粉", "袋"),
        ("咖啡", "袋"),
        ("苹果", "袋"),
        ("土豆", "袋"),
        ("牛奶", "瓶"),
        ("橄榄油", "瓶"),
        ("苹果汁", "瓶"),
        ("蜂蜜", "罐"),
        ("李子酱", "罐"),
        ("白面包", "个"),
        ("黑面包", "个"),
        ("蜡烛", "包"),
        ("纸", "包"),
        ("面条", "包"),
        ("肥皂", "块"),
        ("番茄汤", "听"),
    ],
    payments=[
        ("现金", "用现金"),
        ("刷卡", "刷卡"),
        ("转账", "用转账"),
        ("手机", "用手机"),
    ],
    numbers="一 两 三 四 五 六 七 八 九 十 十一 十二".split(),
    colours="红色 蓝色 绿色 白色 黑色 黄色 棕色 灰色".split(),
    animals="猫 狗 马 鸟 鱼 牛 鸭子 羊 狐狸 山羊".split(),
    places="市场 车站 图书馆 学校 河边 花园 面包店 港口 公园 博物馆".split(),
    weather="晴朗 下雨 刮风 多云 寒冷 温暖 下雪 有雾".split(),
    moods="高兴 疲倦 安静 自豪 平静 忙碌".split(),
    jobs="面包师 老师 医生 农民 司机 画家 厨师 水手".split(),
)


def plural(unit: str) -> str:
    """Return the plural of an English unit."""
    if unit == "loaf":
        return "loaves"
    return unit + "es" if unit.endswith("x") else unit + "s"


def pick_purchase(
    rng: random.Random, words: Words
) -> tuple[str, str, tuple[str, str], tuple[str, str]]:
    """Return a buyer, a day, an item with its unit, and a payment method."""
    return (
        rng.choice(words.names),
        rng.choice(words.days),
        rng.choice(words.goods),
        rng.choice(words.payments),
    )
