-- From version 2 to 3.

-- On which days a user was seen, without reading everybody's: when first of all, for one.
CREATE INDEX seen_user ON seen(user, facility, day);
