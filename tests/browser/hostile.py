"""Texts that would be more than texts on a page that puts them there as they are.

Whichever runs sets `hostile` on the window and the title of the page.
"""

SCRIPT = "<script>window.hostile=1;document.title='hostile'</script>"
IMAGE = '"><img src=x onerror="window.hostile=1;document.title=\'hostile\'">'
# As short as the names that pages show whole.
MODEL = "<img src=x onerror=window.hostile=1>"
TOOL = "'><svg onload=window.hostile=1>"
# Without what ends a version.
VERSION = "<img/src/onerror=window.hostile=1>"
# Turns round what follows on the line, unless it is kept to itself.
BENT = "model-\u202eedoc"
RIGHT_TO_LEFT = "مرحبا بالعالم، كيف حالك؟"
EMOJI = "👩‍👩‍👧‍👦🏳️‍🌈"
WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 5
FORMULA = '=HYPERLINK("http://elsewhere.example/","look")'
