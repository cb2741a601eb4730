"""Computes the vectors in src/bls/tests/vectors.rs with py_ecc 8.0.0 (PyPI), an implementation that shares nothing with blst.

    pip install py_ecc==8.0.0 && python bls_vectors.py
"""
from hashlib import sha256

from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.bls.point_compression import compress_G1, compress_G2
from py_ecc.optimized_bls12_381 import G2, add, curve_order, multiply

SIGNATURE = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
MESSAGE = b"a message"


def g1(point):
    return compress_G1(point).to_bytes(48, "big").hex()


def g2(point):
    high, low = compress_G2(point)
    return high.to_bytes(48, "big") + low.to_bytes(48, "big")


def secret(name):
    return int.from_bytes(sha256(name).digest(), "big") % curve_order


# Quorum 3 of 4: f(x) = a0 + a1 x + a2 x^2, the share of replica i is f(i + 1).
polynomial = [secret(b"a0"), secret(b"a1"), secret(b"a2")]
shares = [sum(a * (i + 1) ** d for d, a in enumerate(polynomial)) % curve_order for i in range(4)]
hashed = hash_to_G1(MESSAGE, SIGNATURE, sha256)

print("group key", g2(multiply(G2, polynomial[0])).hex())
print("group signature", g1(multiply(hashed, polynomial[0])))
for i, share in enumerate(shares):
    key = g2(multiply(G2, share))
    print("share", i, "secret", share.to_bytes(32, "big").hex())
    print("share", i, "key", key.hex())
    print("share", i, "signature", g1(multiply(hashed, share)))
    print("share", i, "possession", g1(multiply(hash_to_G1(key, POSSESSION, sha256), share)))

# Interpolation of three shares gives the group's signature.
signers = [0, 2, 3]
total = None
for i in signers:
    coefficient = 1
    for j in signers:
        if j != i:
            coefficient = coefficient * (j + 1) * pow(j - i, -1, curve_order) % curve_order
    print("coefficient", i, coefficient.to_bytes(32, "little").hex())
    part = multiply(hashed, coefficient * shares[i] % curve_order)
    total = part if total is None else add(total, part)
print("interpolated", g1(total))
