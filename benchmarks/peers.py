"""Libraries that are no dependency of ours, for who has them: PyTorch and neuralforecast train beside us in `training.py`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.contenders import Contender, Turns
from benchmarks.measuring import Requests


class Torch(Contender):
    """An eager loop around ``nn.LSTM``: on windows, or by hand on the same sequences as ours with a loss at each session."""

    def keep_training(self, requests: Requests) -> None:
        self._train(1000, requests)

    def whole(self, epochs: int) -> dict:
        """Seconds of ``epochs`` over all sequences and the loss that they end with, on windows."""
        import torch

        from benchmarks.opponents import pinball_loss

        began = time.perf_counter()
        module = self._train(epochs)
        seconds = time.perf_counter() - began
        rows, y = self.judged()
        module.eval()
        with torch.no_grad():
            windows = (self.material.windows(rows[i : i + 1024], self.spec.lookback) for i in range(0, len(rows), 1024))
            answers = np.concatenate([module(torch.from_numpy(x))[:, 0].numpy() for x in windows])
        return {"seconds": seconds, "loss": pinball_loss(self.spec, answers, y)}

    def _train(self, epochs: int, requests: Requests | None = None):
        import torch

        from benchmarks.opponents import torch_loss, torch_module

        torch.manual_seed(7)
        spec = self.spec
        module, loss_of = torch_module(spec, self.material.x.shape[1], self.material.reference), torch_loss(spec)
        optimizer = torch.optim.AdamW(module.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
        draw = np.random.default_rng(7)
        batches, each = self._windows(draw) if spec.labels_per_sequence == 1 else self._sequences(draw)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-each[0] // each[1]))
        turns = Turns(requests, each[1]) if requests else None
        for _ in range(epochs):
            for x, y, weight in batches():
                optimizer.zero_grad()
                loss = loss_of(y, module(x, y.shape[1]))
                ((loss * weight).sum() / weight.sum() if weight is not None else loss.mean()).backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), spec.gradient_norm)
                optimizer.step()
                schedule.step()
                if turns:
                    turns()
        return module

    def _windows(self, draw: np.random.Generator):
        """An epoch of windows, copied out beforehand; how many there are, and in an update."""
        import torch

        rows = self.material.rows("train", self.most)
        x, y = torch.from_numpy(self.material.windows(rows, self.spec.lookback)), torch.from_numpy(self.material.y[rows])

        def epoch() -> Iterator[tuple]:
            order = torch.from_numpy(draw.permutation(len(x)))
            for mine in order.split(self.batch):
                yield x[mine], y[mine][:, None], None

        return epoch, (len(x), min(self.batch, len(x)))

    def _sequences(self, draw: np.random.Generator):
        """An epoch of sequences, cut as ours are, gathered from the block as they are needed; labels, and in an update."""
        import torch

        from forecasting.sequences import training_sequences

        m, labels = self.material, self.spec.labels_per_sequence
        block, outcomes = torch.from_numpy(m.padded), torch.from_numpy(m.y)
        labelled = m.train.any(axis=1)

        def epoch() -> Iterator[tuple]:
            cut = training_sequences(m.panel, labelled, self.spec.lookback - 1, labels, int(draw.integers(labels)))
            for mine in np.array_split(draw.permutation(len(cut)), -(-len(cut) // self.batch)):
                rows, mask = (torch.from_numpy(part) for part in cut.take(mine))
                rows = rows.long()
                yield block[rows + 1], outcomes[rows[:, -labels:]], mask[..., None]

        count = len(training_sequences(m.panel, labelled, self.spec.lookback - 1, labels))
        return epoch, (labelled.sum(), labelled.sum() / -(-count // self.batch))


class NeuralForecast(Contender):
    """The LSTM of the package of that name, by its own ``fit``: a window a label, or with ``labels`` its recurrent training."""

    def keep_training(self, requests: Requests) -> None:
        import logging

        import pandas as pd
        from neuralforecast import NeuralForecast as Package
        from neuralforecast.losses.pytorch import MQLoss
        from neuralforecast.models import LSTM
        from pytorch_lightning import Callback

        for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        m, labels, names = self.material, self.spec.labels_per_sequence, list(self.spec.features)
        learnt = m.panel.at <= m.panel.at[m.train.any(axis=1)].max()
        frame = pd.DataFrame(m.x[learnt], columns=names)
        frame.insert(0, "unique_id", np.array(m.panel.symbols)[m.panel.symbol_index[learnt]])
        frame.insert(1, "ds", m.panel.at[learnt])
        frame.insert(2, "y", m.y[learnt, 0])
        turns = Turns(requests, 1024 * labels)

        class After(Callback):
            def on_train_batch_end(self, *_: object) -> None:
                turns()

        more = {} if labels == 1 else {"recurrent": True, "h_train": labels}
        quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
        model = LSTM(
            h=1, input_size=self.spec.lookback if labels == 1 else 120, encoder_n_layers=1, decoder_layers=1,
            encoder_hidden_size=self.spec.units[0], loss=MQLoss(quantiles=list(self.spec.quantiles)), hist_exog_list=names,
            windows_batch_size=1024, max_steps=10**7, callbacks=[After()], accelerator="cpu", **quiet, **more,
        )  # fmt: skip
        Package(models=[model], freq=1).fit(frame)
