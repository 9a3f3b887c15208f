-- The place of the last event that a stream has of ours, '0-0' for none; or, behind it, why that can't be known.
--
-- KEYS: the stream, and where that place is kept.
local _, last, unknown = ends(KEYS[1], KEYS[2])
return {last or '', unknown or ''}
