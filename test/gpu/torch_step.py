"""Seconds of a training step and of a matrix product loop, medians: "<step> <matmul>". Run with and without the shim by overhead.py."""

import statistics
import time

import torch

torch.manual_seed(0)
model = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(2048, 2048), torch.nn.GELU()) for _ in range(8)]).cuda()
optimizer = torch.optim.AdamW(model.parameters())
data = torch.randn(512, 2048, device="cuda")
a = torch.randn(2048, 2048, device="cuda")


def timed(work, rounds: int) -> float:
    seen = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seen.append(time.perf_counter() - start)
    return statistics.median(seen)


def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    model(data).square().mean().backward()
    optimizer.step()


def product() -> None:
    x = a
    for _ in range(50):
        x = (x @ a) * 1e-2


for work in (step, product):
    timed(work, 20)
print(timed(step, 200), timed(product, 60))
