"""A simulated LinkedIn: conversion events, rules, campaigns and reports of one ad account, as its pages describe them."""
