-- training_curves: the loss of each network of each model while it was trained, one row a look at the validation span.
--   model_id: hash of the model folder
--   origin: session whose close was the last one known when it was trained
--   network: number of the network in the model, from 1
--   symbol: whose network it is, where each symbol has its own; empty: one for all
--   look: number of the look; 0 is before the first update
--   updates: gradient steps made by then
--   train_loss: mean loss of the training batches since the look before, in the units of the network's answer
--   valid_loss: mean loss of the validation labels; the look with the lowest is kept
--   kept: whether the weights of this look stayed
WITH cards AS (
    SELECT model_id, origin, from_json(
        json_extract(card_json, '$.history'),
        '[{"symbol": "VARCHAR", "updates": ["BIGINT"], "train_loss": ["DOUBLE"], "valid_loss": ["DOUBLE"], "kept": "BIGINT"}]'
    ) AS history
    FROM store.models
),
networks AS (
    SELECT model_id, origin, generate_subscripts(history, 1) AS network, unnest(history) AS curve FROM cards
),
looks AS (
    SELECT
        model_id, origin, network, curve.symbol AS symbol, curve.kept AS kept_look,
        generate_subscripts(curve.updates, 1) - 1 AS look,
        unnest(curve.updates) AS updates, unnest(curve.train_loss) AS train_loss, unnest(curve.valid_loss) AS valid_loss
    FROM networks
)
SELECT model_id, origin, network, symbol, look, updates, train_loss, valid_loss, look = kept_look AS kept
FROM looks
ORDER BY origin, model_id, network, look
