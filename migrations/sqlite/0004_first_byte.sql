-- How long providers take until their answers begin.

-- When the first byte of the provider's answer came, its head aside. Only of what has ended.
ALTER TABLE aibridge_interceptions ADD COLUMN first_byte_at INTEGER;

-- Of the requests that were completed: how many answers had a first byte, and the sum of the time until then.
ALTER TABLE aibridge_usage_days ADD COLUMN first_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aibridge_usage_days ADD COLUMN first_byte_micros INTEGER NOT NULL DEFAULT 0;
