-- Placeholder: the scale of amounts.
SELECT 1;
