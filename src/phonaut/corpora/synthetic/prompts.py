"""Prompts of the synthetic speakers: phrases that all of them read, and sentences of one split each.

No sentence of the test is in training, so a phone classifier cannot have heard its phones in the same words in the same
order. Each split has all 39 phones. A sentence's id is its place: `phrase0`, `train12`, `test3`.
"""

from __future__ import annotations

PHRASES = (
    "My voice is my password.",
    "Open the door, please.",
    "She turned the light on in the kitchen.",
    "What is the weather like today?",
    "Call me back after five o'clock.",
    "They usually enjoy good music.",
    "Please remember where I parked the car.",
    "The quick ship left the old harbour.",
)

_TRAIN = """
A young boy threw the yellow ball over the fence.
We measure the height of the tower every year.
Both brothers work in the same small office.
The judge asked a simple question about the money.
Fresh bread and cheese make a good lunch.
He found a treasure under the kitchen floor.
Our neighbours grow potatoes, beans and onions.
She drew a large circle with a piece of chalk.
The train to the north leaves in twenty minutes.
Nobody noticed the tiny hole in the wall.
Put the spoon back into the top drawer.
I would rather walk than take the bus.
The engine made a strange noise this morning.
Her cousin joined the army in June.
They watched television until it was late.
Thirty thousand people came to hear the speech.
The cat slept on a cushion near the fire.
Choose a colour that you really like.
Snow covered the roof of the old church.
He wrote a long letter to his youngest daughter.
The boat drifted slowly toward the shore.
Could you help me push this heavy box?
The nurse gave him a glass of cold water.
Many birds fly south before the winter.
It was a pleasure to meet your wife.
The farmer sold eggs and butter at the market.
Strong wind broke a branch of the pear tree.
Leave your shoes outside the back door.
A shiny coin rolled under the table.
The teacher showed us a map of Asia.
You can buy stamps at the corner shop.
His uncle owns a garage beside the river.
The soup was too hot, so we waited.
Several children were singing in the yard.
She put the oranges into a brown paper bag.
The pilot could not see through the thick fog.
Dogs bark loudly when strangers pass the gate.
We had no choice but to join the queue.
The museum is closed on Monday and Thursday.
Take a deep breath and count to seven.
An old man told us the way to the bridge.
The red jacket looks better than the blue one.
My father cooks fish with garlic and lemon.
The clock on the wall is ten minutes slow.
Few visitors ever climb that mountain.
The baby laughed at the dancing puppet.
Please do not touch the wet paint.
I heard a sharp sound and then silence.
The company bought a new machine for the factory.
Wash your hands before you eat.
He usually reads the newspaper at breakfast.
The moon rose above the quiet village.
Two women argued about the price of the rug.
The thief escaped through an open window.
She wore a green dress and a gold ring.
That joke was not funny at all.
A huge wave pushed them back to the beach.
The poor horse was tired after the journey.
They should have arrived an hour ago.
The doctor told him to stop smoking.
Pour the milk into the bowl and stir well.
Her vision was blurred after the accident.
The carpenter measured the board twice.
We saw a fox near the edge of the wood.
Nothing is as loud as thunder at night.
The boy's leather boots were covered in mud.
Turn left at the next traffic light.
The choir sang both songs without a mistake.
He hid the key under a large stone.
Everyone cheered when the short speech was over.
The oil in the pan began to smoke.
Our team won the game by a single point.
"""

_VALIDATION = """
The yellow flowers need more sun and water.
George bought a cheap watch at the airport.
They have a television in the dining room.
The voyage took almost thirteen days.
She thought the rough path was much shorter.
Pick up the toys and put them on the shelf.
His mother could not find her reading glasses.
A loud bang woke the whole house.
The king refused to leave his castle.
You should measure the wood before you cut it.
Ask the boys where they hid the football.
The church bell rings every hour.
"""

_TEST = """
The children found a strange shell on the sand.
Join us for supper on Friday evening.
The usual road to the village was closed.
A thin layer of ice covered the lake.
He put his good umbrella behind the chair.
My youngest sister plays the violin.
The cook chopped carrots with a sharp knife.
Which of these books have you read?
She could hear the ocean from her bedroom.
The police asked both drivers for their names.
It is a pleasure to work with you.
The judge looked angry when he came in.
Boil the rice for about ten minutes.
A brown bear was seen near our camp.
They threw the broken chair away.
We walked through the garden in the dark.
The young man thanked her for the watch.
Give the dog a bone and some fresh water.
The last bus goes at half past eleven.
A noisy machine stood in the corner.
This village has no school any more.
The television show begins at four.
Her hat flew off and landed in a tree.
Should we push the boat into the river?
"""

SENTENCES = {
    split: tuple(text.strip().splitlines())
    for split, text in (("train", _TRAIN), ("validation", _VALIDATION), ("test", _TEST))
}
