"""Short texts in plain words, written for the demo. Data only: one paragraph per line."""

ENGLISH = """\
The sun rises in the east and sets in the west. In summer the days are long, and in winter they are short. When the days grow longer, the snow melts and the rivers carry more water to the sea.
A good loaf of bread needs flour, water, salt and time. You mix the flour with the water, you wait, and you bake it in a hot oven. When it smells sweet and the crust is brown, the bread is done.
The old bridge was built of stone. Every morning the children walk over it to school, and every evening they come back the same way. In the middle of the bridge they stop and look for fish in the water.
Tea comes from the leaves of a small green plant. The leaves are picked by hand, dried in the wind and put into boxes. People drink tea in the morning to wake up and in the evening to rest.
The station is a busy place. Trains arrive and leave, people meet and say goodbye, and a voice tells them where to go. A man sells coffee and newspapers beside the clock.
Horses are strong and patient. Long ago they pulled carts and carried letters from town to town. Today they live on farms, eat grass and run across the fields when the weather is warm.
When it rains, the streets are wet and the gardens are glad. The water runs down the roofs, along the road and into the river. After the rain the air is fresh, and sometimes there is a rainbow.
A library is a house full of books. You may take a book home, read it, and bring it back after three weeks. It costs nothing, but you must be quiet, because other people are reading.
The farmer gets up before the sun. He gives water to the cows, opens the door for the ducks and looks at the sky. If there are dark clouds, he brings the hay under the roof.
Counting is easy. One and one are two, two and two are four, four and four are eight. If you have ten apples and give away three, seven apples are left for you.
The sea is salty and deep. Ships cross it with boxes of tea, bags of rice and bottles of oil. At night the light of the harbour shows the sailors the way home.
Honey is made by bees. They fly from flower to flower, carry the sweet drops home and keep them for the winter. A jar of honey holds the work of many bees and many days.
A letter needs a name, a street and a number. Without them the driver does not know which door to knock on. A kind word at the end costs nothing and makes the reader happy.
The painter mixes blue and yellow, and the result is green. Red and white make pink, and all colours together make brown. She looks at the river for a long time before she begins.
On Sunday the shops are closed and the town is quiet. People sleep longer, cook a warm meal and visit their friends. In the afternoon they walk in the park and talk about the week.
A market opens early. First come the farmers with potatoes and apples, then the baker with warm bread, and last the people who want to buy. At noon most of the good things are gone.
Snow is cold and white. Children love it, drivers do not. When the lake is frozen, people walk on the ice, and the fish sleep in the dark water under it.
The doctor listens before she speaks. She asks where it hurts, how long it has been so, and what you ate. Then she tells you what to do: drink water, rest, and come back on Friday.
A clock has two hands. The short one shows the hour, the long one shows the minute. When both point up, it is twelve, and everyone in the school waits for lunch.
Cooking soup is simple. Cut the tomatoes, add water and salt, and let them boil for an hour. Serve the soup hot with a piece of bread, and nobody will leave the table hungry.
The museum keeps old things for new people. There are coins, pots, letters and a wooden boat. If you stand still in front of the boat, you can almost hear the water.
The fox is careful. It comes at night, listens at the fence and goes away when the dog wakes up. In the morning only its small steps in the snow show that it was there.
Money is a promise. You give the baker a coin, and the baker gives you bread, because he knows that the miller will take the coin for flour. Some people pay in cash, some by card.
The wind moves the clouds, and the clouds bring the rain. The rain feeds the river, and the river turns the mill. So in the end it is the wind that makes the flour for our bread."""

CHINESE = """\
太阳从东边升起，从西边落下。夏天白天长，冬天白天短。白天变长的时候，雪会融化，河水流向大海。
做好面包需要面粉、水、盐和时间。先把面粉和水混在一起，等一会儿，再放进热炉子里烤。闻到香味，外皮变成棕色，面包就好了。
那座老桥是用石头造的。每天早上孩子们从桥上走过去上学，每天傍晚又从桥上走回来。他们在桥中间停下来，看水里的鱼。
茶来自一种绿色植物的叶子。人们用手采下叶子，在风里晾干，再装进盒子。早上喝茶可以醒来，晚上喝茶可以休息。
车站是一个忙碌的地方。火车来了又走，人们见面又告别。钟旁边有一个人卖咖啡和报纸。
马很有力气，也很有耐心。从前它们拉车，把信从一个镇送到另一个镇。今天它们住在农场里，天气温暖的时候在田野上奔跑。
下雨的时候，街道是湿的，花园很高兴。水从屋顶流下来，流过马路，流进河里。雨后的空气很新鲜，有时还有彩虹。
图书馆是一座装满书的房子。你可以把书带回家，读完以后三周之内还回来。不用付钱，但是要安静，因为别人也在读书。
农民在太阳出来之前起床。他给牛喝水，给鸭子开门，再看看天空。如果有黑云，他就把干草搬到屋顶下面。
数数很容易。一加一等于二，二加二等于四，四加四等于八。你有十个苹果，送出去三个，还剩七个。
大海又咸又深。船带着茶叶、大米和油从海上经过。夜里港口的灯光告诉水手回家的路。
蜂蜜是蜜蜂做的。它们从一朵花飞到另一朵花，把甜的东西带回家，留到冬天。一罐蜂蜜里有很多蜜蜂很多天的工作。
一封信需要名字、街道和门牌号。没有这些，司机不知道敲哪一扇门。最后写一句好话，不用花钱，读信的人会高兴。
画家把蓝色和黄色混在一起，就得到绿色。红色加白色是粉色，所有颜色加在一起是棕色。她先看很久的河，然后才开始画。
周日商店关门，镇上很安静。人们睡得久一些，做一顿热饭，去看朋友。下午他们在公园里散步，谈这一周的事情。
市场很早就开门。先来的是带着土豆和苹果的农民，再来的是带着热面包的面包师，最后来的是买东西的人。到了中午，好东西大多卖完了。
雪又冷又白。孩子们喜欢雪，司机不喜欢。湖水结冰以后，人们在冰上走，鱼在冰下面的黑水里睡觉。
医生先听，然后才说。她问哪里疼，疼了多久，吃过什么。然后她告诉你怎么做：多喝水，多休息，周五再来。
钟有两根针。短针指小时，长针指分钟。两根针都指向上面的时候是十二点，学校里的人都在等午饭。
做汤很简单。把番茄切开，加水加盐，煮一个小时。趁热和面包一起端上来，谁也不会饿着离开桌子。
博物馆替新人保存旧东西。那里有钱币、罐子、信和一条木船。你在船前面站一会儿，好像能听见水声。
狐狸很小心。它夜里来，在墙边听一听，狗醒了它就走。到了早上，只有雪上的小脚印说明它来过。
钱是一个约定。你给面包师一个硬币，面包师给你面包，因为他知道磨坊会收下这个硬币，给他面粉。有人用现金付款，有人刷卡。
风推动云，云带来雨。雨水流进河里，河水推动水磨。所以说到底，是风给我们的面包磨出了面粉。"""
