"""Pictures that were looked at, and the URLs that they are of. `python -m tests.golden` draws them anew."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).parent

_QUERY = {
    "welcome-banner": "name=Alexandra&w=400",
    "product-offer": "v.title=A+bicycle+for+every+day&price=1234.5&discount=20&w=300",
    "event-ticket": "guest=Zo%C3%AB+M%C3%BCller&seat=a12&tier=gold&code=https://example.com/t/42&w=400",
    "social-card": "v.title=%D9%85%D8%B1%D8%AD%D8%A8%D8%A7+%D8%A8%D9%83%D9%85+%F0%9F%98%80&author=Sam&w=400",
    "certificate": "name=Ada+Lovelace&course=Analytical+Engines&verify=https://example.com/v/1&w=400",
}

TARGETS = {name: f"/images/template/{name}?{query}&fm=webp&lossless=1" for name, query in _QUERY.items()}
