"""Keccak-256 as Ethereum uses it (padding 0x01, not the 0x06 of SHA-3).

Written out because `hashlib` has SHA-3 only and a verifier should need no chain library. A proxy's
code of 24 KB takes about 0.1 s; nothing on a hot path uses this.
"""

_MASK = (1 << 64) - 1
_RATE_BYTES = 136


def _round_constants() -> tuple[int, ...]:
    """The 24 iota constants from the LFSR x^8 + x^6 + x^5 + x^4 + 1 (FIPS 202 §3.2.5)."""
    constants: list[int] = []
    state = 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if state & 1:
                constant |= 1 << ((1 << bit) - 1)
            state = (state << 1) ^ (0x171 if state & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _rotations_and_targets() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each lane x + 5y: its rotation (rho) and the lane it moves to (pi)."""
    rotations, targets = [0] * 25, [0] * 25
    x, y = 1, 0
    for step in range(24):
        rotations[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    for lane in range(25):
        targets[lane] = lane // 5 + 5 * ((2 * (lane % 5) + 3 * (lane // 5)) % 5)
    return tuple(rotations), tuple(targets)


_CONSTANTS = _round_constants()
_ROTATIONS, _TARGETS = _rotations_and_targets()
_MOVES = tuple(
    (lane, _ROTATIONS[lane], 64 - _ROTATIONS[lane], _TARGETS[lane]) for lane in range(25)
)


def _permute(lanes: list[int]) -> None:
    moved = [0] * 25
    for constant in _CONSTANTS:
        column = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        theta = [
            column[x - 1] ^ ((column[(x + 1) % 5] << 1 | column[(x + 1) % 5] >> 63) & _MASK)
            for x in range(5)
        ]
        for lane, left, right, target in _MOVES:
            value = lanes[lane] ^ theta[lane % 5]
            moved[target] = (value << left | value >> right) & _MASK
        for row in range(0, 25, 5):
            a, b, c, d, e = moved[row : row + 5]
            lanes[row] = a ^ (~b & c)
            lanes[row + 1] = b ^ (~c & d)
            lanes[row + 2] = c ^ (~d & e)
            lanes[row + 3] = d ^ (~e & a)
            lanes[row + 4] = e ^ (~a & b)
        lanes[0] ^= constant


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 of `data`."""
    padded = bytearray(data)
    padded += bytes(_RATE_BYTES - len(data) % _RATE_BYTES)
    padded[len(data)] |= 0x01
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE_BYTES):
        for lane in range(_RATE_BYTES // 8):
            at = start + 8 * lane
            lanes[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])
