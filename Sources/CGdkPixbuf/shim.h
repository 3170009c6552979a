/* Found through pkg-config; included by the shim target alone. */
