"""The plots: what happens in the stories, as templates of `prepare.stories.grammar`.

A child can read them aloud, and a reader can check them at a glance: who lost the red kite finds
the red kite, Anna is never "he", and the friend who is asked by name is thanked by name.
Line breaks within a template count as spaces.
"""

RULES = {
    "opening": """
        [Once upon a time|Long ago|Many years ago|In a small town|In a far land|Near the
        sea|High in the mountains] [there was|there lived|lived] {nature.a} {hero.child}
        [called|named] {hero}.
    """,
    "one day": """
        [One {weather} {time}|On {weather.a} {time}|Early one morning|Late one evening|Last
        {season}|The next {season}]
    """,
    "ending": "[From that day on,|Ever after,|Since then,|After that {time}|All {season} long]",
    "home": """
        [Then|At last|In the {time}|Before it was dark] {hero} went home, [{joy} and
        {joy2}|tired but {joy}|full of joy|singing all the way].
    """,
    "said": "[said|whispered|murmured|replied|explained|chuckled]",
    "asked": "[asked|called|wondered|begged|inquired]",
    "asks": "[asked|begged|called to|turned to]",
    "cried": "[cried|shouted|yelled|exclaimed|cheered]",
    "felt": "[felt|was|looked|seemed|became]",
    "both felt": "[felt|were|looked|seemed|became]",
    "sadly": "[very|so|rather|quite|a little|terribly] {worry}",
    "gladly": "[very|so|truly|quite|really] {joy}",
    "went": "[went|walked|ran|hurried|skipped|rode|marched|wandered]",
    "thanks": """
        "[Thank you|You are so kind|How lovely|What would I do without you], {friend}!"
    """,
}

PLOTS = {
    "lost": """
        <opening> {hero.He} had {color.a} {thing} and [took it everywhere|loved it
        dearly|kept it in {hero.his} pocket|slept with it at night]. <one day>, the {thing}
        was gone! {hero} [looked|searched] {spot} and {spot2}, but it was not there.
        {hero.He} <felt> <sadly>. "[Have you seen|Do you know where to find|Who has taken]
        my {thing}?" {hero.he} <asks> {hero.his} {elder}. "[Look|Try looking|Perhaps it is|I
        saw it] {spot3}," {elder.he} <said>. {hero} looked, and there it was: the {thing}!
        {hero} <felt> <gladly>, [hugged|kissed|thanked] {hero.his} {elder} and [never lost
        the {thing} again|laughed with joy|put the {thing} away].
    """,
    "sharing": """
        <opening> <one day>, {hero} took {hero.his} {size} {color} {thing} {place.to}. There
        {hero.he} met {friend}, who had [no|lost {friend.his}|broken {friend.his}] {thing}.
        "[May I play with|Can I hold|Will you share|Please let me see] the {thing}?" <asked>
        {friend}. {hero} [thought about it|frowned|held the {thing} tight|shook {hero.his}
        head]. {hero.He} did not want to share. Then {hero.he} saw that {friend} <felt>
        <sadly>. "[Here you are|You can have a turn|Let us play together|You may keep it
        until the {time}]," <said> {hero}. They played with the {thing} for {number} hours.
        "[Sharing is fun|Playing together is better|You are my best friend]!" <cried>
        {friend}. <ending> {hero} and {friend} were [best friends|always together|never
        apart].
    """,
    "hurt animal": """
        <one day>, {hero} was {place.in}. {hero.He} heard a [cry|strange noise|soft
        sound|voice]. It was {size.a} {color2} {animal} that [had hurt its leg|could not
        move|was stuck in the mud|shook with cold]. "[Poor thing|Do not be afraid|I will
        help you|Come with me]," <said> {hero}. {hero.He} [wrapped|covered|hid] it in
        {hero.his} {color} [shawl|coat|blanket|sweater] and carried it home. {hero.His}
        {elder} gave the {animal} {food.a}. "[What shall we call it|What is its name|Does it
        have a name]?" {elder.he} <asked>. "{pet}," <said> {hero}. After {number} days {pet}
        could [walk|run|jump|play] again. {pet} [went back|returned] to the wild, but every
        {season} the {animal} came to [visit|see|play with] {hero}.
    """,
    "baking": """
        <opening> It was the birthday of {hero.his} {elder}, and {hero} wanted to bake
        {color.a} {food}. "[Will you help me|Can we do it together|Do you know how]?"
        {hero.he} <asks> {friend}. They took {number} eggs, [some flour|a lot of butter|a
        cup of milk|a jar of honey] and {number2} spoons of sugar. {friend}
        [stirred|mixed|tasted|danced] while {hero} [lit the oven|read the book|sang a
        song|washed the bowl]. But [oh no|oh dear|what a pity]! It was [burnt|too hot|much
        too big|as hard as a stone]. {hero} <felt> <sadly>. "[We can try again|Never mind|It
        is not so bad], {hero}," <said> {friend}. The second one was perfect. "[This is the
        best in the world|What a lovely thing to eat|You made this for me]!" {elder.he}
        <cried>. {hero} and {friend} <both felt> <gladly>.
    """,
    "dark": """
        <opening> {hero} was afraid of the [dark|storm|wind|moon]. One {weather} night
        {hero.he} saw [two eyes|a shadow|something {color}|a light] {spot}. "[Who is
        there|What is that|What do you want]?" <asked> {hero}. {hero.He} [hid under|pulled
        up|crept below] the blanket and called {hero.his} {elder}. The {elder} came with
        {size.a} {color2} {thing} in one hand and a candle in the other. It was only
        {animal.a}! "[It is more afraid than you|It wants to sleep here|It must be hungry],"
        {elder.he} <said>. {hero} [laughed|smiled|breathed again]. {hero.He} gave the
        {animal} {food.a}, and they both [fell asleep|slept well|lay down] {spot2}. <ending>
        {hero} <felt> <gladly> at night.
    """,
    "race": """
        <one day>, {size.a} {animal} and {size2.a} {animal2} had a race {place.to}. "[I am
        the fastest|Nobody can beat me|You are too slow|I will win]!" <cried> the {animal}.
        "[We shall see|Let us begin|Do not be so sure|Catch me]," <said> the {animal2}. They
        ran past {number} trees. The {animal} was far ahead and stopped to [eat
        {food.a}|rest|sleep|drink]. The {animal2} [went on|kept running|did not stop|passed
        by]. When the {animal} [woke up|looked up|turned around], it <felt> <sadly>: the
        {animal2} was already there! "[How did you win|How is that possible|Can you fly]?"
        <asked> the {animal}. "[Step by step|I did not give up|I never stopped|You were
        asleep]," <said> the {animal2}. The {animal} gave the {animal2} {color.a} {thing} as
        a prize.
    """,
    "new friend": """
        <opening> {hero} was new {place.in} and knew nobody. {hero.He} <felt> <sadly>. <one
        day>, {hero.he} saw {nature2.a} {friend.child} with {size.a} {color} {thing}. "[What
        is your name|Who are you|Have we met]?" <asked> {hero}. "[I am|My name is|They call
        me] {friend}," <said> the {friend.child}. "[Do you want to|Shall we|Can you|Will
        you] play {game}?" <asked> {hero}. They played with the {thing} [all day|until the
        {time}|for {number2} hours]. {friend} [won|lost|fell over] {number} times. Then
        {friend} gave {hero} the {thing}. "[Keep the {thing}|The {thing} is yours|This
        {thing} is for you|Take the {thing} home]," {friend.he} <said>. <ending> {hero} was
        never [alone|{worry2}] again.
    """,
    "broken": """
        <one day>, {hero} was playing {game} [in the house|near the window|upstairs|after
        lunch]. [Crash|Bang|Oh no|Snap]! {hero.He} had broken the {size} {color} {thing} of
        {hero.his} {elder}. {hero} hid the {thing} {spot} and [ran away|said nothing|went to
        bed|began to cry]. But {hero.he} <felt> <sadly> and could not [eat|sleep|play|sit
        still]. "[What is wrong|Why are you so quiet|Are you ill], {hero}?" {elder.he}
        <asked>. "[I broke your {thing}|Your {thing} is broken, and it was me|Please forgive
        me, the {thing} is broken]," <said> {hero}. The {elder} [sat down|smiled|took
        {hero.his} hand|was silent]. "[It was good to tell me|The truth matters more than
        {thing.a}|I am not angry]," {elder.he} <said>. Together they
        [mended|glued|painted|repaired] the {thing}, and it was as good as before.
    """,
    "present": """
        Tomorrow was the birthday of {friend}. {nature.A} {hero.child} called {hero} had
        only {number} coins. {hero.He} <went> {place.to} and saw {color.a} {thing} and
        {color2.a} {thing2}. "[How much is|What costs|May I have] the {thing}?" {hero.he}
        <asks> the {trade}. "[More than you have|Far too much|It is not for sale]," <said>
        the seller. "[But you can have|Take|Why not try] the {thing2}." {hero} <felt>
        <gladly>, paid and wrapped the {thing2} in {color3} paper. The next {time} {friend}
        opened the present. "[I always wanted|How I love|What a surprise,|Nobody else has]
        {thing2.a}!" <cried> {friend}. {friend.He} [hugged|thanked|kissed|invited] {hero},
        and they ate {food.a} together.
    """,
    "building": """
        <one day>, {hero} and {friend} <went> {place.to} to build a
        [castle|house|tower|ship|bridge]. {hero} brought {size.a} {thing}, and {friend}
        brought {color.a} {thing2}. They worked for {number} hours. Then {size2.a} {animal}
        came and [knocked it over|sat on it|ran through it|ate half of it]. "[Our work is
        gone|Look what you did|Go away]!" <cried> {friend}. "[It only wants to play|It did
        not mean to|We can start again], {friend}," <said> {hero}. They built it again, and
        the {animal} [helped|watched|slept|sang]. On top they put the {thing2}, and [in
        front of|next to|below] it the {thing}. {friend} and {hero} <both felt> <gladly>.
    """,
    "seed": """
        <opening> {hero.His} {elder} gave {hero.him} {size.a} {plant} seed. {hero} planted
        it {place.in} and watered it every {time}. {number.Two} [days|weeks] went by, and
        nothing grew. {hero} <felt> <sadly>. "[Why does it not grow|When will it grow|Did I
        do it wrong]?" <asked> {hero}. "[Be patient|Give it time|Wait and see|Trust it],"
        {elder.he} <said>. {hero} waited, [read to it|sang to it|kept it warm|told it
        stories] and put {color.a} {thing} beside it. The {thing} [fell over|blew away|got
        wet], but {hero} put the {thing} back. <one day>, there was a
        [tiny|green|curly|bright] leaf, and soon {color2.a} flower! "[Look|See|Come
        quickly|Hurray]!" <cried> {hero}. {animal.A} came to [smell|admire|taste|guard] it.
        {hero} gave the first one to {hero.his} {elder}, who <felt> <gladly>.
    """,
    "lost child": """
        <opening> <one day>, {hero} was lost {place.in}. {hero.He} <felt> <sadly>.
        [Suddenly|Just then|After {number} hours] {hero.he} met {size.a} {animal} with
        {color.a} {thing}. "[Can you show me the way|Which way is it|How do I come]
        {place2.to}?" <asked> {hero}. "[First|For that|Before we go] I want {food.a},"
        <said> the {animal}. {hero} gave it to the {animal}. They walked past {number2}
        houses and {color2.a} gate, and the {animal} [played with|lost|carried|showed
        {hero.him}] the {thing}. "[Here we are|This is it|Now run home]!" <cried> the
        {animal}. {hero} was there again! {hero.His} {elder} [was waiting|came running|wept
        with joy], and the {animal} got another one.
    """,
    "learning": """
        <opening> {hero} could not {skill}, but {nature2.a} {friend.child} called {friend}
        could. "[Will you teach me to|Please show me how to|Can I learn to|Is it hard to]
        {skill}, {friend}?" <asked> {hero}. They <went> {place.to}, and {hero} put on
        {hero.his} {color} {clothes}. {hero.He} tried {number} times, [fell|failed|gave
        up|sat down] every time and <felt> <sadly>. "[Once more|Do not stop now|You can do
        it|Be brave], {hero}!" <cried> {friend}. {hero} tried once more. [Look|Hurray|At
        last|Oh my]! {hero} could do it! <thanks> <cried> {hero}. That {season} they met
        every {time}, and {friend} <felt> <gladly>.
    """,
    "kite": """
        <one day>, {hero}'s {color} {thing} was [stuck|caught|hanging] in {size.a} tree
        {place.in}. {hero} [jumped|climbed|threw a stone|shook the tree], but the {thing}
        was too high. {hero.He} <felt> <sadly>. {friend} came by with {hero.his} {elder} and
        {size2.a} {animal}. "[What happened|Can we help|Why are you crying|What is up
        there], {hero}?" <asked> {friend}. "[I have lost|I cannot reach|I want] my {thing},"
        <said> {hero}. The {animal} climbed up and [pulled|shook|bit|pushed] the {thing}
        until it fell down. <thanks> <cried> {hero}. {friend} [smiled|laughed|bowed].
        "[Thank the {animal}|It was the {animal}|It was nothing]," {friend.he} <said>.
    """,
    "trading": """
        <opening> {hero} had {size.a} {thing}, but {hero.he} wanted {color.a} {thing2}.
        {hero.He} <went> {place.to} and met {trade.a}. "[Will you give me|I would like|Do
        you have] {food.a} for my {thing}?" <asked> {hero}. "[Gladly|Of course|If you
        like]," was the answer. But {hero.he} <felt> <sadly>. "[I have|Here is|Look at]
        {thing2.a}," <said> {hero.his} {elder}, who was there. "[Do you want the
        {thing2}|Shall we trade|You can have the {thing2}]?" {hero}
        [nodded|agreed|smiled|jumped]. So somebody else had the {thing}, and {hero} had the
        {thing2}. <home>
    """,
    "pet": """
        <opening> {hero} had {size.a} {animal} called {pet}. {pet} liked to
        [eat|steal|hide|bury] {food.a}. <one day>, {pet} ran away {place.to}. {hero} and
        {hero.his} {elder} looked {spot} and {spot2}. They found [{number} feathers|a
        footprint|nothing|{color.a} {thing}], but no {animal}. "{pet}! [Where are you|Come
        home|We miss you]!" <cried> {hero}. {hero.He} put {food.a} {spot3} and
        [waited|hid|sang|counted to {number}]. [Soon|Slowly|After {number2} minutes] the
        {animal} came out, {color2} [mud|paint|dust|leaves] on its nose. "[There you are|I
        missed you|What a mess], {pet}!" <said> {hero}, and the {elder}
        [laughed|clapped|danced]. {pet} ate and [slept|stayed|played] next to {hero} all
        {season}. <home>
    """,
    "quarrel": """
        <one day>, {hero} and {friend} found {size.a} {color} {thing} {place.in}. "[Give
        me|I want|Let go of|I saw] the {thing}!" <cried> {hero}. "The {thing} is [mine|not
        yours|for me]," <said> {friend}. {hero} pulled the {thing}, {friend} pulled the
        {thing}, and [snap|crack|bang|oh no]! The {thing} was in {number} parts. {hero}
        <felt> <sadly>. "[Now nobody has|We have both lost|That was a fine end for|I never
        liked] the {thing}," <said> {friend}. {hero.His} {elder}
        [mended|glued|repaired|washed] the {thing}. "[From now on|Next time|As a rule] the
        {thing} is for {hero} in the morning and for {friend} in the evening," {elder.he}
        <said>. They never [fought over|broke|hid] the {thing} again.
    """,
    "shelf": """
        <opening> On {hero.his} shelf stood {color.a} {thing} and {size.a} {thing2}. <one
        day>, the {thing} began to [talk|sing|weep|laugh]. "[Nobody plays with me|I am older
        than you|I can dance], {thing2}," <said> the {thing}. "[You are only a toy|Be
        quiet|I like you], {thing}," <said> the {thing2}. The {thing2} [jumped|rolled|fell]
        off the shelf, and the {thing} [followed|waited|cheered]. When {hero} came in, the
        {thing} and the {thing2} were {spot}. "[Who moved|What happened to|Did you two move]
        my {thing}?" <asked> {hero}. {hero.He} put the {thing2} next to the {thing} and went
        to bed. "[Good night|Sleep well|That was close], {thing}," <said> the {thing2}, and
        they both <both felt> <gladly>.
    """,
    "dinner": """
        <one day>, {size.a} {animal} invited {nature.a} {animal2} to dinner {place.in}.
        "[Come in|Sit down|Welcome|How thin you are], {animal2}," <said> the {animal}.
        "[Thank you|How kind of you|I am so hungry], {animal}," <said> the {animal2}. The
        {animal} [cooked|baked|served] {food.a}, and the {animal2} brought {color.a}
        {thing}. But then the {animal2} [fell asleep|sang too loud|ate everything], and the
        {animal} <felt> <sadly>. "[I am sorry|Forgive me|Do not cry], {animal}," <said> the
        {animal2}. The {animal} [laughed|smiled|shook its head] and gave the {animal2}
        {number} cups of tea. <ending> the {animal} and the {animal2} were [good
        neighbors|friends|never hungry].
    """,
}

START = "[" + "|".join(plot.strip() for plot in PLOTS.values()) + "]"
