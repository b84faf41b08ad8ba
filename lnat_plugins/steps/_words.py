"""Words that decide whether a full stop ends a sentence.

Knows nothing of positions: sets of words, as data, for `_stops` and `_newlines`.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_END: Final = _words(
    "e.g E.g i.e I.e eg ie vs Vs cf Cf viz approx Approx ca resp w.r.t s.t a.k.a "
    "Mr Mrs Ms Mx Dr Drs Prof Rev Hon Gen Col Capt Cpt Lt Sgt Gov Sen Rep Pres Messrs Mme Mlle"
)
"""Abbreviations (without their last stop) after which the sentence always goes on."""

HONORIFICS: Final = _words("Mr. Mrs. Ms. Mx. Dr. Prof. Rev. Capt. Lt. Sgt. Gov. Sen. by By")
"""Words before a capital letter and a stop that make it an initial: "by J. Smith"."""

BEFORE_NUMBER: Final = _words(
    "no nos fig figs eq eqs eqn eqns sec secs sect ch chap vol vols p pp pg art ex thm def lem "
    "prop cor tab ref refs ver v app al par para"
)
"""Abbreviations (lower case) after which a digit or an opening bracket goes on: "Fig. 3"."""

BEFORE_DAY: Final = _words("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec")
"""Months after which a digit goes on: "Sept. 11"."""

MAY_END: Final = _words("Inc Ltd Co Corp Jr Sr St Mt Ft Ave Blvd Rd Dept Est Bros Univ Assn No")
"""Abbreviations that end a sentence only where a word that starts one follows."""

AFTER_HOUR: Final = _words(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday EST EDT CST CDT MST MDT PST PDT "
    "GMT UTC Eastern Central Mountain Pacific"
)
"""Capitalised words that may follow "5 p.m." inside a sentence."""

LABELS: Final = _words(
    "Answer Book Box Case Choice Class Clue Column Condition Constraint Corner Equation Figure "
    "Friend Group House Item Job Let Letter Level Line Method Number Option Page Part Person Phase "
    "Plan Player Point Position Problem Question Row Section Segment Set Side Solve Statement Step "
    "Team Theorem Train Type Variable Vitamin Week Year So If Then For And Or But Find Call Take "
    "Say Suppose Assume Denote Choose Pick Since Because Therefore Thus Hence"
)
"""Capitalised words before a capital letter and a stop that make it a label: "Job A. Her"."""

STARTERS: Final = _words(
    "A After Again All Alright Also Alternatively Although Another Are Answer Any As Assuming At "
    "Because Before Both But By Calculate Can Check Combining Correct Could Did Do Does Each "
    "Either Every Finally Find First For From Given Good Had Has Have He Hence Her Here Hers His "
    "Hmm How However I If In Instead Is It Its It's Just Last Later Let Let's Let’s Maybe More "
    "Most My Next No Not Nothing Now Of Oh Okay Ok On Once One Only Or Original Other Otherwise "
    "Our Out Over Perhaps Please Problem Put Remember Right Same Second She Should Similarly "
    "Since So Some Specifically Step Still Subtract Such Suppose Taking That That's That’s The "
    "Their Then There There's Therefore These They They're Third This Those Though Three Thus "
    "Time To Total Two Under Until Using Wait Was We We're Well Were What What's When Where Which "
    "While Who Whose Why Will With Without Would Yeah Yep Yes Yet You Your"
)
"""Capitalised words that begin a sentence rather than go on a name."""

CONNECTIVES: Final = _words(
    "a an the of to in on at by for from with and or nor but as is are was were be been than which "
    "that because since whose into onto per between over under about its their his her your our my "
    "this these each every if when where while"
)
"""Words (lower case) that a finished line does not end with."""
