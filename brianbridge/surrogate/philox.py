"""Random numbers by their place alone: Philox4x32-10 (Salmon et al. 2011), the normal ones by Box and Muller.

Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3, SC11. The seed is the key,
(element, trial, step, place) the counter. ``kernels/runtime/random.c`` makes the same ones, to the last bit:
it adds and multiplies in the same order.
"""

import math

import torch

__all__ = ["normal", "philox4x32", "uniform"]

WORD = 2**32 - 1
LANES = 16  # counters beside each other: the first LANES elements are the first number of each, and so on
LOGARITHM = [1 / (2 * k + 1) for k in range(11)]
SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(9)]
#: Of a floating point type: whole numbers of the same size, bits of its mantissa, and the bits of sqrt(1/2).
LAYOUT = {
    torch.float32: (torch.int32, 23, 0x3F3504F3),
    torch.float64: (torch.int64, 52, 0x3FE6A09E667F3BCD),
}


def philox4x32(counter, key):
    """Four words of 32 bits for each counter.

    Parameters
    ----------
    counter : sequence of four LongTensor
        Words; their shapes are broadcast.
    key : (int, int)
        Words.

    Returns
    -------
    tuple of four LongTensor
    """
    a, b, c, d = counter
    key, second = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c  # 64 bits each, whatever their sign
        a, b = ((q >> 32) & WORD) ^ b ^ key, q & WORD
        c, d = ((p >> 32) & WORD) ^ d ^ second, p & WORD
        key, second = (key + 0x9E3779B9) & WORD, (second + 0xBB67AE85) & WORD
    return a, b, c, d


def uniform(seed, place, steps, trials, n, dtype, device):
    """Uniform random numbers from [0, 1), of 24 bits in float32, of 53 in float64.

    Parameters
    ----------
    seed : int
    place : int
    steps : range
    trials, n : int
    dtype : torch.dtype
    device : torch.device

    Returns
    -------
    Tensor, shape (steps, trials, n)
    """
    words = _words(seed, place, steps, trials, n, dtype, device)
    if dtype == torch.float32:
        return _joined([(word >> 8).to(dtype) * 2.0**-24 for word in words], n)
    return _joined([_of_53_bits(*words[:2]), _of_53_bits(*words[2:])], n)


def normal(seed, place, steps, trials, n, dtype, device):
    """Normal random numbers of mean 0 and variance 1; parameters as of `uniform`."""
    words = _words(seed, place, steps, trials, n, dtype, device)
    if dtype == torch.float32:
        return _joined([*_normal_pair(*words[:2]), *_normal_pair(*words[2:])], n)
    rest = ((words[2] & 0x3FFFFFFF) << 21 | words[3] >> 11) - 2**50
    u = _of_53_bits(*words[:2]) + 2.0**-54
    return _joined(_normals(u, words[2] >> 30, rest.to(dtype) * 2.0**-51), n)


def _words(seed, place, steps, trials, n, dtype, device):
    """Words of all counters, each of shape (steps, trials, groups, lanes)."""
    numbers = 4 if dtype == torch.float32 else 2
    groups, lanes = -(-n // (numbers * LANES)), min(n, LANES)
    whole = lambda count: torch.arange(count, device=device)  # noqa: E731
    element = LANES * whole(groups)[:, None] + whole(lanes)
    step = torch.arange(steps.start, steps.stop, device=device)[:, None, None, None] & WORD
    trial = whole(trials)[:, None, None]
    counter = element, trial, step, torch.tensor(place, device=device)
    return philox4x32(counter, (seed & WORD, seed >> 32 & WORD))


def _joined(numbers, n):
    numbers = torch.stack(numbers, -2)
    return numbers.reshape(*numbers.shape[:2], -1)[..., :n].contiguous()


def _of_53_bits(a, b):
    return ((a >> 5) << 26 | b >> 6).to(torch.float64) * 2.0**-53


def _normal_pair(a, b):
    rest = (b & 0x3FFFFFFF) - 2**29
    return _normals(a.to(torch.float32) * 2.0**-32 + 2.0**-33, b >> 30, rest.to(torch.float32) * 2.0**-30)


def _normals(u, quarter, angle):
    """Two normal numbers from a number of (0, 1], a quarter of the circle, and an angle from its middle."""
    x = angle * (math.pi / 2)
    square = -2 * _logarithm(u) + 2.0**-100
    radius = square * torch.rsqrt(square)  # rounded correctly, which torch.sqrt is not
    sine, cosine = x * _polynomial(SINE, x * x), _polynomial(COSINE, x * x)
    radius = torch.where((quarter & 2).bool(), -radius, radius)
    odd = (quarter & 1).bool()
    return radius * torch.where(odd, -sine, cosine), radius * torch.where(odd, cosine, sine)


def _logarithm(u):
    """Natural logarithm of a number from (0, 1], u = m*2^e with m next to 1."""
    whole, mantissa, root_of_half = LAYOUT[u.dtype]
    bits = u.view(whole)
    e = (bits - root_of_half) >> mantissa
    m = (bits - (e << mantissa)).view(u.dtype)
    s = (m - 1) / (m + 1)
    return e.to(u.dtype) * math.log(2) + 2 * s * _polynomial(LOGARITHM, s * s)


def _polynomial(coefficients, x):
    total = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total.mul_(x).add_(coefficient)
    return total
