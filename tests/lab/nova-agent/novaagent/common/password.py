from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
