"""Every page by itself."""

import pytest
from pages import PAGES


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_page(browser, ids, page):
    address = page.address.format_map(ids)
    if page.is_for_visitors:
        with browser.as_visitor():
            browser.go(address)
            browser.look(page.name)
    else:
        browser.go(address)
        assert browser.address == address
        browser.look(page.name)
