"""Gold cuts, set by hand in the manner of each teacher of the shared traces.

The excerpts are reworded: names, objects and figures are not those of the traces. Every cut that
a reader would make is marked with a broken bar; the splitter misses a few. Tags and lines of markup
are no steps: they stand with what follows them.
"""

from __future__ import annotations

GOLD: dict[str, tuple[str, ...]] = {
    "QwQ": (
        'Is it 4 + 5 or 4 x 5? ¦Hmm, the text says "in all." ¦So 9. ¦But hold on, Mr. Hart took 2.',
        "Since 7 jars need 3 lids each, that's 7*3=21. ¦Right, 21 lids. ¦Wait, hold on. ¦Let me "
        're-read it.\n\n¦"Tim packs 7 jars." ¦So 7 it is. \n\n¦Then the rest follows.',
        "Let me note that:\n\n¦New price = Old price + $4  \n¦New price = $19 + $4  \n¦New price "
        "= $23\n\n¦Hmm. ¦That seems high, but okay.\n¦</think>\n\n**Step 1:** Find the old "
        "price.",
        "So the bus leaves at 5 p.m. ¦Then it is late... ¦Or is it early?",
    ),
    "deepseekR1": (
        "Let me check that again. ¦8 - 3. ¦8 minus 3 is 5, so $5. ¦Since the pens cost $3, fine.",
        "First the cents: 40 + 60 = 100 cents, which is $1. ¦Then 2 + 6 = 8. ¦So $8 + $1 = "
        "$9.00. ¦Correct.\n\n¦Change: $12.00 - $9.00 = $3.00. ¦Yep, checks out.",
        "Divide both sides by 4: \n\n¦4x / 4 = 96 / 4 \n\n¦x = 24. \n\n¦So the number is 24.",
    ),
    "s1.1": (
        'So the sum is 33. ¦The question: "How many are left?" ¦Well, it is 33 - 12 = 21. ¦21 it '
        "is.\n¦answer\nAnswer: 21.",
        "think\nOkay, let's see. ¦The tank holds 90 litres, i.e. three pails.\n\n¦**Final "
        "Answer**\n\\boxed{90}\n¦answer\nAnswer: The tank holds three pails.",
        "Next, the cost of the sticks:\n¦\\[\n\\frac{48 \\text{ sticks}}{6} = 8 \\text{ boxes}.\n"
        "\\]\n\n¦Thus, Bob needs 8 boxes.",
    ),
    "DSQ": (
        "For 1,200 people:\n\n¦\\[\n1,200 \\times 2 = 2,400\n\\]\n\n¦### Step 3: Subtract\n"
        "\n¦Subtract the rest.",
        "Finally, I add up the three days.\n¦</think>\n\n1. **Total Pieces:**  \n   ¦Ann starts "
        "with **9 pieces**.\n   \n   ¦\\[\n   9 \\times 2 = 18\n   \\]\n\n¦2. **Rest:** 18 "
        "pieces.",
        "Let’s denote the side as x. ¦Then, twice that is 2x:\n\n¦x + 2x = 60\n\n¦So, x = 20.",
    ),
    "gpt4o": (
        "4. **Fourth side:** It takes \\( \\frac{1}{2} \\times 6 = 3\\) minutes.\n¦5. **Fifth "
        "side:** 3 too.",
        "After giving away 4 hats, the number became:\n\n¦31 - 4 = 27 hats\n\n¦So, Ned has 27 "
        "hats.",
        "**First Park:**\n\n¦- Adults: 3 × $20 = $60\n¦- Children: 2 × $8 = $16\n\n¦**Second "
        "Park:**",
    ),
    "gemini1_5": (
        "Let $L$ be the number of maps.\n¦Ida has 30 maps, so $I = 30$.\n¦Each shelf holds 90 "
        "maps. ¦There will be $\\boxed{60}$ left.",
        "1. **Calculate the extra cows:** 10 cows/day * 7 days = 70 cows\n\n¦2. **Add them:** 170",
    ),
    "Qwen32": (
        "1. Find the pay for week one:\n   ¦- He earns $12 per hour.\n   ¦- So, it is \\( 12 "
        "\\times 4 = 48 \\) dollars.\n\n¦2. Find the pay for week two:",
        "We set \\( x \\) as the width. ¦Given that it is 40 feet, we get:\n\n¦\\[ x + 3x = 40 "
        "\\]\n\n¦Combining like terms, we get:\n\n¦\\[ 4x = 40 \\]",
    ),
    "Gemma227": (
        "* **Daily use:** 40 grams * 2 = 80 grams per day.\n¦* **Days:** 640 / 80 = 8 days.\n"
        "\n\n¦**Answer:** The food lasts **8 days**. \n\n",
    ),
    "phi3": (
        "Ed has 3 ten dollar bills, so he has $30.\n¦He buys 5 kites for $2 each.\n¦In total, he "
        "spends $10 + $6 = $16.\n",
    ),
    "o1": (
        "He’ll need $6 more (since $10 − $4 = $6). ¦At $2 per day, it takes 3 days.",
        "East: 50 × 3 = 150 miles  \n¦West: 40 × 2 = 80 miles  \n\n¦Difference: 70 miles.  ",
    ),
    "o1mini_medium": (
        "2. **Day 2**:\n   ¦- She counts **40 more** than on Day 1.\n   ¦- So:\n     ¦\\[\n"
        "     \\text{Day 1} + 40 = 90\n     \\]\n   \n¦3. **Day 3**:",
        "   - **Discount:** \\$300 × 0.50 = \\$150\n   ¦- **Price:** **\\$150**\n\n¦**Answer:** "
        "\\$150",
    ),
    "o3mini_medium": (
        "The fruit weighs 18 kg. ¦Jo wants a third, which is 18 × 1/3 = 6 kg.\n\n¦Since Jo (i.e. "
        "Joan) has 6 kg, the rest is:\n\n¦18 kg − 6 kg = 12 kg.",
        "The added value is:\n\n\u2003\u2003¦1.5 × $60,000 = $90,000.\n\n¦Thus, it grew.",
    ),
    "claude-3-5-sonnet-20241022": (
        "Let's go step by step:\n¦1. The limit is 4000 pounds\n¦2. So the room left for crates "
        "is:\n   ¦4000 - 2800 = 1200 pounds\n¦3. Each crate weighs 24 pounds",
    ),
    "gpt-4o-2024-08-06": (
        "We have: ¦1. A + B = 40 ¦2. A = B + 6 ¦Simplifying, we get: ¦2B = 34. ¦So B is 17.",
        "Abe is 58 years old. ¦His wife is 3 years older, so she is 58 + 3 = 61. ¦Their son is "
        "half as old (since 61 > 58).",
    ),
    "gpt-3.5-turbo-0125": (
        "The total is $120.00 + $12.00 = $132.00. ¦Then, we divide it by $6.00: 132 / 6 = 22 "
        "hours.",
    ),
    "Meta-Llama-3.1-70B-Instruct": (
        "To find the number of trays, we count the slices. ¦80 / 16 = 5. ¦So, 5 trays are needed.",
    ),
    "Meta-Llama-3.1-8B-Instruct": (
        "Let's call the second house x. ¦The third needs 2*(x/2) = x cases. ¦So 3x = 90, x = 30.",
    ),
    "Qwen2-72B-Instruct": (
        "Lee spent $18.00. ¦The juice is 3 * $2.00 = $6.00. ¦The rest is $12.00 (total minus "
        "juice).",
    ),
    "Qwen2-7B-Instruct": (
        "The lamp starts at 20 degrees. ¦It turns 4*6 = 24 degrees. ¦So, it ends at 44 degrees.",
    ),
    "gemma-2-9b-it": (
        "1. **Count the slices:** 12 guests * 3 slices = 36 slices\n¦2. **Divide:** 36 / 6 = 6 "
        "pies",
    ),
    "gemma-2-2b-it": (
        "1. Mia starts with 12 pins. \n¦2. She loses 4, so she has 12 - 4 = 8 left. \n¦3. She is "
        "done.",
        "1. **First hut:** It needs half as many.  ¦Let's call it 'y'.  ¦Hence y/2.\n\n¦2. "
        "**Solve for y:** To solve for y, we combine: \n   ¦* (3/2)y = 60\n   ¦* y = 40",
    ),
    "Mistral-Nemo-Instruct-2407": (
        "For Ann, distance = 50 mph × 2 hours = 100 miles. ¦For Bob, it is 90 miles. ¦The gap is "
        "10.",
    ),
    "Mixtral-8x7B-Instruct-v0.1": (
        "We know this: 1. Max is half of Lea’s age. ¦This means Lea is twice as old. ¦2. Lea is "
        "30. \n¦From point 2, we see that Max is 15. ",
    ),
    "deepseek-v2.5-0908": (
        "We count the pupils at Dr. Hill's school. ¦There are 2 * 40 = 80 boys. ¦So 120 in all.",
    ),
    "qwen3-8b__think-on": (
        "<think>\nOkay, the capital of Peru. ¦Let me think. ¦The answer is Lima. ¦Answer: "
        "Lima.\n\n¦</think>\n\nThe capital of Peru is Lima. ¦Answer: Lima.",
        "The symbol is a letter with a tail, like zł. ¦Let me confirm. ¦Like, is it right?",
    ),
    "qwen3-8b__think-off": (
        "That’s 3 runners in a row. ¦So they fill 1 to 3.\n\n¦- Position 1: Ida  \n¦- Position "
        "2: Max  \n\n¦But wait — **Ben** is last.",
        "### From clue 2:  \n¦**Ida finished before Max**  \n¦→ Ida is earlier than Max.\n\n¦---\n"
        "\n### From clue 3:  \n¦So Ida ≠ 5 ✅",
        "The capital city of Norway is Oslo. ¦Answer: Oslo.",
    ),
    "qwen3.5-9b__think-on": (
        "1.  **Read the Request:**\n    ¦*   Start: 31 crates.\n    ¦*   Calculation: $31 "
        "\\times 4 = 124$.\n        ¦*   $30 \\times 4 = 120$\n\n¦2.  **Check:**\n    ¦*   Is it "
        "right? ¦Yes.",
        "If $AB$ is at 2,3 -> $C$ at 1.\n   ¦Order: C, A, B.\n   ¦Check: C(1) < A(2). ¦It is "
        'valid.\n   ¦"Ben did not finish in position 1" -> $B \\neq 1$.\n¦$A < B$.\n¦So $B$ must '
        "be at 3.",
        '*   Ida ... Max ... Ben. ¦Does "before" mean just before? ¦Usually, it implies any place.',
    ),
    "qwen3.5-9b__think-off": (
        "Count the samples of the team:\n¦$15 \\text{ people} \\times 20 = 300 \\text{ "
        "samples}$.\n\n¦Next, count the losses:\n¦$$\n300 - 12 = 288 \\text{ samples}\n$$\n"
        "\n¦Answer: 288",
    ),
    "qwq-32b-preview": (
        "Let's see. ¦I list what I know:\n\n¦- Nora is Ian's parent.\n\n¦- Ian is Carl's "
        "parent.\n\n¦So Nora is Carl's grandparent.\n\n¦1. Nora is Carl's sibling.\n\n¦Wait, no. "
        "¦That's off.",
        "So the answer should be <ANSWER>4</ANSWER>.\n\n¦But wait, let's double-check.",
    ),
    "deepseek-v3": (
        "3. **Ines is Ugo's parent.** ¦This makes Ines a grandparent.\n¦4. **Ugo is Lia's "
        "parent.**\n\n¦Therefore, Ines is Lia's grandparent.\n\n<ANSWER>3</ANSWER>",
    ),
    "mistral-large-2411": (
        "Given these links:\n¦1. Olaf is Ruth's parent.\n¦2. Ruth is Iris' parent.\n\n¦This "
        "means:\n¦- Olaf → Ruth → Iris\n\n¦The correct answer is:\n<ANSWER>2</ANSWER>",
    ),
    "llama-3.1-8b-instruct": (
        "* Dina is Mark's parent.\n¦* So Dina is older.\n\n¦The options don't say \"Dina is "
        'older." ¦The closest option is:\n\n<ANSWER>2</ANSWER>',
    ),
    "llama-3.3-70b-instruct": (
        "## Step 3: Link Ada and Eve\n¦Ada is Eve's parent.\n\n¦## Step 4: Conclude\n¦Given "
        "that, Eve is a child.\n\n¦The line is: Ada -> Eve -> Ivo.",
    ),
    "claude-3.5-sonnet-1022": (
        "1) Let's map it out:\n   ¦* Rosa is Hugo's parent\n   ¦* Hugo is Otto's parent\n\n¦2) "
        "So:\n   ¦1. Otto is Rosa's sibling ✗\n   ¦2. Otto is Rosa's grandchild ✓",
    ),
    "qwen-2.5-72b-instruct": (
        "Ray is her nephew (or her niece). ¦However, no option says so. ¦Thus:\n"
        "\n<ANSWER>4</ANSWER>",
        "- **Sam is Kim's parent.**\n¦- **Kim is Ray's parent.**\n\n¦This confirms that Sam is a "
        "generation above (since Ray is Kim's child).\n\n¦Given the options:\n¦1. Ray is Sam's "
        "aunt.",
    ),
}
