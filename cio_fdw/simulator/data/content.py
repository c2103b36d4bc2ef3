"""The words of the made-up workspace: campaign plans, subjects, bodies, names of people.

`{name}` in a text is the person's first name: Liquid in an action, filled in on a message.
"""

from __future__ import annotations

COMPANY = "Kettle & Finch"
DOMAIN = "kettleandfinch.example"

PLANS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("segment", "Welcome to Kettle & Finch", "First two weeks after sign-up", ("onboarding", "lifecycle")),
    ("event", "Order follow-up", "Brew guide, then a review request", ("orders",)),
    ("event", "Abandoned basket", "Three nudges within two days", ("orders", "revenue")),
    ("date", "Birthday beans", "A free 100 g bag in the birthday month", ("loyalty",)),
    ("form", "Brew quiz results", "Sends the matching roast after the quiz", ("quiz", "acquisition")),
    ("object", "Office account onboarding", "For new office accounts", ("b2b",)),
    ("relationship", "New teammate on an office account", "When a person joins an account", ("b2b", "onboarding")),
    ("webhook", "Warehouse delay notice", "Started by the warehouse system", ("ops",)),
    ("segment", "Win-back: 60 days quiet", "No order for 60 days", ("win-back", "revenue")),
    ("event", "Subscription paused", "Why people pause, and how to come back", ("subscription",)),
    ("segment", 'The "one more bag" upsell', 'For people with exactly 1 bag in "their" plan', ("revenue",)),
    ("date", "Renewal reminder", "Seven days and one day before renewal", ("subscription",)),
    ("event", "Payment failed", "Dunning, four steps over ten days", ("billing", "critical")),
    ("segment", "Café loyalty – Zürich & Genève", "Swiss cafés only", ("loyalty", "ch")),
    ("event", "First grinder bought", "How to dial in", ("hardware",)),
    ("form", "Wholesale enquiry", "Answers wholesale enquiries", ("b2b", "sales")),
    ("segment", "ようこそ 日本チーム", "Japanese welcome series", ("onboarding", "jp")),
    ("event", "Refer a friend", "After a five star review", ("referral",)),
    ("object", "Office account low on stock", "Less than 2 kg left", ("b2b", "ops")),
    ("date", "One year with us", "Anniversary of the first order", ("loyalty",)),
    ("segment", "VIP early access", "Top 5 % by spend; micro-lots first", ("vip",)),
    ("event", "Back in stock", "Someone waits for a sold-out lot", ("orders",)),
    ("webhook", "Courier: parcel returned", "Started by the courier's webhook", ("ops",)),
    ("form", "Event sign-up: cupping night", "Reminders for cupping nights", ("events",)),
    ("relationship", "Account admin changed", "Tells the old and the new admin", ("b2b",)),
    ("segment", "SMS opt-in follow-up", "Confirms the number, then one offer", ("sms",)),
    ("event", "Review request (Español)", "¿Qué tal el café?", ("orders", "es")),
    ("segment", "Decaf fans; seasonal", "Spring and autumn lots", ("seasonal",)),
    ("event", "Gift sent", "For giver and receiver", ("gifts",)),
    ("date", "Descale your machine", "Every month, hardware owners", ("hardware",)),
    ("segment", "Sunset: never opened", "Last call, then suppress", ("hygiene",)),
    ("event", "App installed", "Push and in-app tour", ("app", "onboarding")),
    ("object", "Account contract ends", "90, 30 and 7 days ahead", ("b2b", "sales")),
    ("segment", "Survey: Q3 NPS", "Every active subscriber once", ("research",)),
    ("webhook", "Support ticket solved", "CSAT after a ticket is solved", ("support",)),
    ("event", "Plan upgraded", "What is new on the bigger plan", ("subscription",)),
    ("form", "Price list download", "B2B lead nurture", ("b2b", "acquisition")),
    ("segment", "Holiday shipping cut-off 🎄", "Last order dates by country", ("seasonal",)),
    ("relationship", "Guest joined a tasting", "People related to a tasting event", ("events",)),
    ("event", "Subscription cancelled", "Exit survey, then quiet for 30 days", ("subscription", "win-back")),
)

EVENTS = (
    "order_placed",
    "basket_abandoned",
    "subscription_paused",
    "payment_failed",
    "grinder_bought",
    "review_left",
    "back_in_stock",
    "gift_sent",
    "app_installed",
    "plan_upgraded",
    "subscription_cancelled",
)
DATES = ("birthday", "renews_at", "first_order_at", "machine_bought_at")
ZONES = ("America/New_York", "Europe/Berlin", "Europe/London", "Asia/Tokyo", "UTC")

STEPS = (
    "Day 0: hello",
    "Day 1: how it works",
    "Day 3: first tip",
    "Day 5: proof from others",
    "Day 7: small offer",
    "Day 10: reminder",
    "Day 14: last call",
    "Internal: tell the team",
    "Fallback for people without e-mail",
    "Week 4: check-in",
    "Week 6: what's new",
    "Week 8: survey",
    "Quarterly note",
    "Goodbye",
)

SUBJECTS = (
    "{name}, your first bag is on its way",
    "Welcome to the slow morning",
    'You asked: "which grind for a moka pot?"',
    "Still thinking it over?",
    "Your basket won't stay warm forever",
    "A small birthday something 🎂",
    "Don't forget: renewal on Friday",
    "We couldn't charge your card",
    "How was the Kochere, {name}?",
    "3 recipes for cold days",
    "Für Dich geröstet: Huila Nr. 7",
    "¿Qué tal el café, {name}?",
    "新しい豆が届きました",
    "Last call: 20% off ends tonight",
    "Invoice for your office account",
    "You left a review; here's a thank-you",
    "Back in stock: Gesha, lot 41",
    "Save 10% \\ bring a friend",
    "Is your machine due for a descale?",
    "We'd miss you, {name}",
)

PARAGRAPHS = (
    "We roasted your beans on Tuesday and they leave the warehouse tomorrow morning.",
    "Start with 15 g of coffee to 250 g of water, a little coarser than table salt.",
    "Your plan renews on {{ customer.renews_at | date: '%d %B' }}. Change it any time from your account.",
    "Nine out of ten people who took the quiz kept the roast we suggested.",
    "{% if customer.plan == 'office' %}Your team has {{ account.kilos_left }} kg left.{% endif %}",
    "If something is not right, just answer this mail; Mira or Tobias will read it.",
)

NEWSLETTERS = (
    ("The Friday Pour #{n}", "What we're brewing this weekend"),
    ("New lots, week {n}", "Three new lots: one is only 40 kg"),
    ("Product news {n}", "Pause, skip, swap: now from the app"),
    ("Origin letter {n}", 'A letter from Huila: "the rain came late"'),
    ("Sale {n}: 48 hours", "48 hours, 20% off everything whole-bean"),
)

TRANSACTIONAL = (
    ("email", "Your order is confirmed", 30),
    ("email", "Your parcel is on its way", 26),
    ("email", "Reset your password", 12),
    ("email", "Your receipt from Kettle & Finch", 22),
    ("twilio", "", 7),
    ("push", "", 3),
)

FAILURES = {
    "bounced": (
        "550 5.1.1 The email account that you tried to reach does not exist",
        "552 5.2.2 Mailbox full",
        "550 5.7.1 Message rejected: policy",
    ),
    "dropped": ("Recipient is on the suppression list",),
    "undeliverable": ("Liquid error: undefined variable 'order.items'", "No device to send to"),
    "failed": ("HTTP 502 from the endpoint", "30003: Unreachable destination handset", "invalid_auth"),
    "attempted": ("451 4.7.1 Greylisted, try again later",),
}

# fmt: off
FIRST_NAMES = (
    "Ana", "Ben", "Chloe", "Daniel", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Karin", "Liam", "Mira",
    "Noah", "Olivia", "Paul", "Quinn", "Rosa", "Sam", "Tobias", "Uma", "Victor", "Wendy", "Xavier", "Yara",
    "Zoë", "Søren", "José", "Łukasz", "Nguyễn", "美咲", "Олена", "عمر", "D'Angelo", "Siân", "Müge", "Renée",
    "Björn", "Ayşe", "Kofi",
)
LAST_NAMES = (
    "Adler", "Brandt", "Costa", "Dubois", "Eriksen", "Ferrari", "Garcia", "Hansen", "Ito", "Jansen", "Keller",
    "Lopez", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Schmidt", "Tanaka", "Urban", "Vogel",
    "Walsh", "Young", "Zhang", "O'Brien", "Müller", "Nuñez", "Şahin", "Lindström",
)
# fmt: on
